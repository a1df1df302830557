/** Words from files of strangers, for messages: on one line, short, and without what a terminal would obey. */

const MAX_CHARS = 200;

/** A name, in quotes. */
export function quote(name: string): string {
  return printable(JSON.stringify(shortened(name)));
}

/** A text, such as the message of an error that repeats a part of the file. */
export function oneLine(text: string): string {
  return printable(shortened(text));
}

function shortened(text: string): string {
  return text.length <= MAX_CHARS ? text : `${text.slice(0, MAX_CHARS)}…`;
}

/** Text without what a terminal would obey, or what would end a line. */
export function printable(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}
