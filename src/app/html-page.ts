/** Pages that a browser opens from the disk: one HTML file with its pictures and charts inside, and nothing that runs. */

const STYLE = `
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; color: #222; }
  h1, h2 { font-weight: 600; } h2 { margin-top: 2.5rem; }
  figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; }
  figcaption { max-width: 340px; font-size: 13px; color: #555; }
  table { border-collapse: collapse; } td, th { padding: 0.1rem 1rem 0.1rem 0; vertical-align: top; text-align: left; }
  th { font-weight: 600; } figure svg { max-width: 100%; }
  img { max-width: 100%; } figure img { image-rendering: pixelated; }
`;

/**
 * The text of a page.
 * @param parts its markup, one after another
 */
export function htmlPage(title: string, parts: readonly string[]): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${escapeHtml(title)}</title><style>${STYLE}</style></head>
<body>
${parts.join("\n")}
</body>
</html>
`;
}

/** @param content markup: a drawing or a picture */
export function figure(content: string, caption: string): string {
  return `<figure>${content}<figcaption>${escapeHtml(caption)}</figcaption></figure>`;
}

/** A picture within the page. */
export function jpegImage(picture: Buffer): string {
  return `<img src="data:image/jpeg;base64,${picture.toString("base64")}" alt="">`;
}

/** @param head names of the columns, where they are not plain */
export function table(rows: readonly (readonly string[])[], head: readonly string[] = []): string {
  const line = (cells: readonly string[], tag: "td" | "th"): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  const first = head.length > 0 ? [line(head, "th")] : [];
  return `<table>${[...first, ...rows.map((row) => line(row, "td"))].join("")}</table>`;
}

/** Captions and names of files are a stranger's: they must not become markup. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
