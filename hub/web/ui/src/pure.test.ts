import { describe, expect, test } from "vitest";
import { errorFrom, may, query } from "./api";
import { ago, bytes, count, duration, num, offline, percent, plain, shortDigest, signed, utc } from "./format";
import { parseRoute } from "./poll";
import { align, byClass, errorCurves, logLoss, quality, rollingMean, spacing } from "./stats";
import type { LabelPoint } from "./types";
import { detailWords, progress, rolloutActions, signedSkill, skill } from "./words";

describe("numbers", () => {
  test.each([
    [0, "0"], [1234.4, "1\u2009234"], [-1234567, "−1\u2009234\u2009567"], [123.4, "123"], [56.78, "56.8"], [8.9, "8.90"], [0.0123, "0.0123"], [-0.5, "−0.50"], [0.00001, "1.0e−5"],
    [NaN, "–"], [null, "–"], [undefined, "–"], [Infinity, "–"],
  ])("num(%s)", (v, want) => expect(num(v)).toBe(want));
  test("units", () => expect(num(12.345, "µg/m³")).toBe("12.3 µg/m³"));
  test("no unit without a value", () => expect(num(null, "ms")).toBe("–"));
  test("count", () => expect(count(1234567)).toBe("1\u2009234\u2009567"));
  test("percent", () => expect([percent(0.934), percent(0.9, 0), percent(NaN)]).toEqual(["93.4 %", "90 %", "–"]));
  test("signed", () => expect([signed(0.124), signed(-0.051), signed(0)]).toEqual(["+12 %", "−5.1 %", "±0.0 %"]));
  test("bytes", () => expect([bytes(0), bytes(1023), bytes(1536), bytes(64 * 1024 * 1024), bytes(250 * 1024)]).toEqual(["0 B", "1023 B", "1.5 KiB", "64.0 MiB", "250 KiB"]));
  test("plain", () => expect([plain(31), plain(0.05), plain(-2.5), plain(1 / 3)]).toEqual(["31", "0.05", "−2.5", "0.3333"]));
  test("digest", () => expect([shortDigest("abcdef0123456789"), shortDigest("")]).toEqual(["abcdef012345", "–"]));
});

describe("times", () => {
  test("duration", () => expect([duration(0.25), duration(4.25), duration(93784), duration(3600), duration(NaN)]).toEqual(["250 ms", "4.3 s", "1 d 2 h", "1 h", "–"]));
  test("utc", () => expect([utc(1362096000_000_000), utc(1362096000_000_000, false), utc(0)]).toEqual(["2013-03-01 00:00:00", "2013-03-01 00:00", "–"]));
  test("ago", () => expect([ago(0, 9e12), ago(1e12, 1e12), ago(1e12, 1e12 + 61e6), ago(1e12, 1e12 - 3600e6)]).toEqual(["never", "just now", "1 min ago", "in 1 h"]));
  test("offline", () => expect([offline(-1), offline(0.5), offline(3.25), offline(41.2), offline(3650)]).toEqual(["unknown", "12 h", "3.3 days", "41 days", "10 years"]));
});

describe("rolling mean", () => {
  test("a window grows, then moves", () => expect([...rollingMean([1, 2, 3, 4], 2)]).toEqual([1, 1.5, 2.5, 3.5]));
  test("missing values are left out", () => expect([...rollingMean([NaN, 2, NaN, NaN, 6], 2)]).toEqual([NaN, 2, 2, NaN, 6]));
  test("no drift from rounding", () => {
    const out = rollingMean([1e9, 0.1, 0.1, 0.1], 2);
    expect(out[3]).toBeCloseTo(0.1, 6);
  });
  test("empty", () => expect(rollingMean([], 3)).toHaveLength(0));
});

const point = (device: string, hour: number, truth: number | null, predicted: number | null, persistence: number | null = 0): LabelPoint => ({
  task: "t", device, row_time: hour * 3600e6, at: (hour + 1) * 3600e6, truth, predicted, persistence, lower: predicted === null ? null : predicted - 1, upper: predicted === null ? null : predicted + 1,
});

describe("error series", () => {
  test("one curve per device, without unmatched points", () => {
    const curves = errorCurves([point("b", 0, 1, 3), point("a", 0, 1, 1), point("b", 1, null, 3), point("b", 2, 5, 4)], 2);
    expect(curves.map((c) => [c.device, c.times, [...c.error], [...c.baseline]])).toEqual([["a", [0], [0], [1]], ["b", [0, 7200], [2, 1.5], [1, 3]]]);
  });
  test("curves share an axis and keep their newest value when thinned", () => {
    const [times, rows] = align([{ times: [1, 2, 3, 4], values: [[10, 20, 30, 40]] }, { times: [3], values: [[7]] }], 2);
    expect(times).toEqual([2, 4]);
    expect(rows).toEqual([[20, 40], [null, 7]]);
  });
  test("quality", () => {
    const q = quality([point("a", 0, 1, 1.5), point("a", 1, 5, 2), point("a", 2, null, 2)]);
    expect(q).toEqual({ labels: 2, mae: 1.75, baseline: 3, coverage: 0.5, logLoss: NaN });
    expect(quality([]).mae).toBeNaN();
  });
  test("two classes are told apart at one half", () => {
    const q = quality([point("a", 0, 1, 0.8, 0.4), point("a", 1, 0, 0.3, 0.4), point("a", 2, 1, 0.4, 0.4)], "classification");
    expect([q.labels, q.mae, q.baseline]).toEqual([3, 1 / 3, 2 / 3]);
    expect(q.logLoss).toBeCloseTo(-(Math.log(0.8) + Math.log(0.7) + Math.log(0.4)) / 3);
  });
  test("many classes are compared by number and name", () => {
    const of = (truth: number, said: number, chance: number, covered: boolean): LabelPoint => ({ ...point("a", 0, truth, said, 0), lower: null, upper: null, classes: 3, chance, baseline_chance: 0.3, set_size: 1, covered });
    const points = [of(2, 2, 0.9, true), of(2, 0, 0.2, false), of(0, 0, 0.6, true)];
    const q = quality(points, "classification");
    expect([q.mae, q.baseline, q.coverage]).toEqual([1 / 3, 2 / 3, 2 / 3]);
    expect(logLoss(points[0]!)).toBeCloseTo(-Math.log(0.9));
    expect(errorCurves(points, 3, "classification")[0]!.error[2]).toBeCloseTo(1 / 3);
    expect(byClass(points, ["idle", "warm", "hot"])).toEqual([
      { name: "hot", truths: 2, right: 1, chance: 0.55, taken: [["idle", 1]] },
      { name: "idle", truths: 1, right: 1, chance: 0.6, taken: [] },
    ]);
  });
  test("a long curve starts when its mean has settled", () => {
    const [c] = errorCurves(Array.from({ length: 10 }, (_, h) => point("a", h, 1, 2)), 3);
    expect([...c!.error].slice(0, 3)).toEqual([NaN, 1, 1]);
  });
  test("spacing", () => expect([spacing([0, 1, 2, 50]), spacing([1])]).toEqual([1, NaN]));
});

describe("the hub's answers", () => {
  test("its own error form", () => {
    const e = errorFrom(409, '{"error":{"code":"rollout_busy","message":"the task has a rollout under way"}}');
    expect([e.status, e.code, e.message]).toEqual([409, "rollout_busy", "the task has a rollout under way"]);
  });
  test("a proxy's page", () => expect(errorFrom(502, "<html>").message).toContain("502"));
  test("JSON of another form", () => expect(errorFrom(400, '{"error":"x"}').code).toBe("http"));
  test("no answer", () => expect(errorFrom(0, "").code).toBe("unreachable"));
  test("query", () => expect(query({ a: "x y", b: undefined, c: "", d: 0 })).toBe("?a=x%20y&d=0"));
  test("roles include each other", () => expect([may("admin", "operator"), may("viewer", "operator"), may(undefined, "viewer")]).toEqual([true, false, false]));
  test("routes", () => expect([parseRoute("#/task/a%20b"), parseRoute(""), parseRoute("#/x/%")]).toEqual([["task", "a b"], [], ["x", "%"]]));
});

describe("words", () => {
  const commands = (state: Parameters<typeof rolloutActions>[0], failed = 0) => rolloutActions(state, failed).map((a) => a.command);
  test("commands of a state", () => {
    expect(commands("running")).toEqual(["pause", "skip", "abort", "rollback"]);
    expect(commands("running", 1)).toContain("retry");
    expect(commands("paused")).toEqual(["resume", "skip", "abort", "rollback"]);
    expect(commands("awaiting_approval")).toEqual(["approve", "abort"]);
    expect(commands("completed")).toEqual(["rollback"]);
    expect(commands("rolled_back", 3)).toEqual([]);
  });
  test("skill", () => expect([skill(8, 10), skill(1, 0)]).toEqual([expect.closeTo(0.2), NaN]));
  test("an error that shrank has a minus", () => expect(signedSkill(0.2)).toBe("−20 %"));
  test("details", () => expect(detailWords({ detector: "page_hinkley", value: 1.23456, series: "", n: null, model: "a".repeat(64) })).toEqual([["detector", "page hinkley"], ["value", "1.23"], ["model", "a".repeat(12)]]));
  test("details within details", () => expect(detailWords({ classes: ["event", "label"], from: { run: "r1", seq: 7 }, list: [{ a: 1 }, { a: 2 }], none: [], empty: {} })).toEqual([["classes", "event, label"], ["from, run", "r1"], ["from, seq", "7"], ["list 1, a", "1"], ["list 2, a", "2"]]));
  test("details of another form", () => expect([detailWords(null), detailWords("x")]).toEqual([[], [["text", "x"]]]));
  test("progress grows through the stages", () => {
    const p = [progress("rows"), progress("search", 0, 10), progress("search", 5, 10), progress("refit"), progress("judge")];
    expect(p).toEqual([...p].sort((a, b) => a - b));
    expect(progress("unheard of")).toBe(0);
  });
});
