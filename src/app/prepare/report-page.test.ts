import { parseHTML } from "linkedom";
import { describe, expect, test } from "vitest";
import type { Preparation } from "../../pipeline/prepare.ts";
import type { PrepareRequest } from "../../pipeline/request.ts";
import type { ConfidencePoint } from "./confidence.ts";
import { reportPage } from "./report-page.ts";

const PREPARATION: Preparation = {
  numFrames: 80,
  fps: 16,
  width: 96,
  height: 128,
  numWithBody: 70,
  numWithLeftHand: 40,
  numWithRightHand: 41,
  maxPeople: 2,
  people: [
    {
      number: 1,
      fromS: 2,
      toS: 7,
      stretches: [
        { fromS: 2, toS: 4 },
        { fromS: 5, toS: 7 },
      ],
      presence: 0.8,
      at: { x: 310, y: 420 },
    },
    { number: 2, fromS: 3, toS: 6, stretches: [{ fromS: 3, toS: 6 }], presence: 0.6, at: { x: 90, y: 400 } },
  ],
  followed: 1,
  absences: [{ fromFrame: 33, toFrame: 42, fromS: 2.0625, toS: 2.625 }],
  cutsS: [3.5],
  shot: "half-body",
  align: "bones",
  stillness: [
    { segment: 0, cameraMotion: 0.08, backgroundChange: 0.02, isStill: false },
    { segment: 2, cameraMotion: 0.001, backgroundChange: 0.001, isStill: true },
  ],
  anchor: 2,
  remarks: ["segment 2 is the anchor: <b>its background</b> is the stillest"],
  files: {
    keypoints: "prepared/keypoints.jsonl",
    skeleton: "prepared/skeleton.mp4",
    handNormals: "prepared/hand-normals.mp4",
    overlay: "prepared/overlay.mp4",
    alignment: null,
    summary: "prepared/summary.json",
  },
};

const CONFIDENCE = (["body", "left hand", "right hand"] as const).flatMap((part) =>
  Array.from({ length: 80 }, (_, i): ConfidencePoint => {
    return { timeS: i / 16, part, confidence: i >= 33 && i <= 42 ? Number.NaN : 0.9 };
  }),
);

function pageOf(change: Partial<Preparation> = {}, asked: Partial<PrepareRequest> = {}) {
  const request = { video: "<i>duo</i>.mp4", start: 2, image: "me.png", out: "prepared", ...asked };
  const preparation = { ...PREPARATION, ...change };
  const text = reportPage({ preparation, request, confidence: CONFIDENCE, moments: [], alignment: null });
  const { document } = parseHTML(text);
  const rows = [...document.querySelectorAll("tr")].map((row) =>
    [...row.children].map((cell) => cell.textContent),
  );
  const headings = [...document.querySelectorAll("h2")].map(({ textContent }) => textContent);
  return { text, document, headings, row: (first: string) => rows.find(([cell]) => cell === first) };
}

describe("the page of a preparation", () => {
  test("tells what was found, what was chosen and why, and how to choose otherwise", () => {
    const { row, headings } = pageOf();
    expect(headings).toEqual(["Chosen", "The skeleton", "People", "Confidence", "Background"]);
    expect(row("not seen at")).toEqual(["not seen at", "2.06 to 2.63 s"]);
    expect(row("cuts at")).toEqual(["cuts at", "3.50 s"]);
    expect(row("person to follow")).toEqual([
      "person to follow",
      "person 1 of 2",
      "the largest for the longest",
      "--person N, --person X,Y",
    ]);
    expect(row("part of the driving video")!.slice(1, 3)).toEqual(["5 s from 2 s on", "as asked"]);
    expect(row("alignment to the reference")!.slice(1)).toEqual([
      "bones",
      "place, size or proportions differ from the reference",
      "--align off, frame or bones",
    ]);
    expect(row("preset of background sharing")!.slice(1, 3)).toEqual([
      "half-body",
      "most frames show hips, but no ankles",
    ]);
    expect(row("anchor")!.slice(1, 3)).toEqual(["segment 2", "its background is stillest"]);
    expect(row("2")).toEqual(["2", "90,400", "60 %", "--person 2"]);
  });

  test("says what was asked for, and when nothing is still", () => {
    const stillness = PREPARATION.stillness.map((each) => ({ ...each, isStill: false }));
    const { row } = pageOf({ stillness, followed: 2 }, { person: 2, align: "bones", fps: 16 });
    expect(row("person to follow")!.slice(1, 3)).toEqual(["person 2 of 2", "as asked"]);
    expect(row("alignment to the reference")![2]).toBe("as asked");
    expect(row("frames per second")![2]).toBe("as asked");
    expect(row("anchor")![2]).toMatch(/no segment has a still background/);
  });

  test("plots times of the result: people, and confidence with gaps", () => {
    const { document } = pageOf();
    const [people, confidence, camera] = document.querySelectorAll("figure > svg");
    const bars = [...people!.querySelectorAll('[aria-label="bar"] rect')];
    expect(bars).toHaveLength(3);
    // 2 s of the video are 0 s of the result: the first bar begins where the axis does.
    expect(Number(bars[0]!.getAttribute("x"))).toBeCloseTo(48, 0);
    expect(bars[0]!.getAttribute("fill")).not.toBe(bars[2]!.getAttribute("fill"));
    const lines = [...confidence!.querySelectorAll('[aria-label="line"] path')];
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(line.getAttribute("d")!.match(/M/g)).toHaveLength(2);
    const fills = [...camera!.querySelectorAll('[aria-label="bar"] rect')].map((bar) =>
      bar.getAttribute("fill"),
    );
    expect(new Set(fills).size).toBe(2);
  });

  test("holds no markup of strangers, nothing that runs and nothing from elsewhere", () => {
    const { text } = pageOf();
    expect(text).toContain("&lt;i&gt;duo&lt;/i&gt;.mp4");
    expect(text).toContain("&lt;b&gt;its background&lt;/b&gt;");
    expect(text).not.toMatch(/<script|<link|src="(?!data:)|href=|NaN/);
  });

  test("of given poses has neither people nor backgrounds", () => {
    const given = { people: [], followed: 0, stillness: [], anchor: 0, align: "off" } as const;
    const { headings, row } = pageOf(given, { video: undefined, keypoints: "poses.jsonl", image: undefined });
    expect(headings).toEqual(["Chosen", "The skeleton", "Confidence"]);
    expect(row("person to follow")!.slice(1, 3)).toEqual(["the one of the given poses", "as asked"]);
    expect(row("anchor")![2]).toBe("there is no video to judge by");
    expect(row("alignment to the reference")![2]).toBe("no reference was given (--image)");
  });
});
