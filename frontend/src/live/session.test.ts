import type { ErrorCode, ViewV1 } from "@contracts/zz_types.ts";
import { beforeEach, describe, expect, test } from "vitest";
import { Talk } from "../testing/talk.ts";
import { encode, frame, snapshot, synced, upsert } from "../testing/wire.ts";
import { isConnected, nextDeadline } from "./session.ts";

let talk: Talk;
beforeEach(() => {
  talk = new Talk();
});

/** Connected, synced, and past the second sync. */
function settled(): Talk {
  talk.start().accept().confirm().advance(5_000).confirm().take();
  return talk;
}

const students: ViewV1 = { entity_type: "student" };

describe("a sync that is not answered", () => {
  test("within 5 s makes the page stale, and is repeated at once", () => {
    settled()
      .advance(14_999 + 5_000)
      .take();
    expect(talk.phase).toBe("live");
    const before = talk.at;
    expect(talk.syncs()).toHaveLength(0);
    talk.advance(1);
    expect(talk.syncs()).toMatchObject([{ syncId: 3 }]);
    talk.advance(4_999);
    expect(talk.phase).toBe("live");
    talk.advance(1);
    expect(talk.phase).toBe("degraded");
    expect(talk.at - before).toBeLessThanOrEqual(30_000);
    expect(talk.syncs()).toMatchObject([{ syncId: 4 }]);
    talk.confirm();
    expect(talk.phase).toBe("live");
  });

  test("twice has the socket replaced, and the old one serves until the new one is synced", () => {
    settled().advance(20_000).advance(9_999).take();
    talk.advance(1);
    expect(talk.take()).toMatchObject([{ do: "open", link: 2 }]);
    talk.hear(frame(upsert("stu_1", 1)), 1);
    expect(talk.take()).toMatchObject([{ do: "merge" }]);
    talk.accept();
    expect(isConnected(talk.session)).toBe(true);
    expect(talk.take()).toMatchObject([{ do: "sync", link: 2, syncId: 1, mayDigest: true }]);
    talk.confirm();
    expect(talk.take()).toMatchObject([{ do: "confirm" }, { do: "close", link: 1 }]);
    expect(talk.phase).toBe("live");
    expect(talk.session.links).toHaveLength(1);
  });

  test("on the new socket either: that is given up, the next one waits, and the old one stays", () => {
    settled().advance(30_000).take();
    talk.accept().take();
    talk.advance(9_999);
    expect(talk.take().filter(({ do: what }) => what === "close")).toEqual([]);
    talk.advance(1);
    expect(talk.take()).toContainEqual({ do: "close", link: 2 });
    expect(talk.session.links.map(({ id }) => id)).toEqual([1]);
    expect(talk.phase).toBe("degraded");
    talk.advance(749);
    expect(talk.take().filter(({ do: what }) => what === "open")).toEqual([]);
    talk.advance(1);
    expect(talk.take()).toContainEqual({ do: "open", link: 3 });
  });

  test("but then is, and the socket is not replaced again", () => {
    settled().advance(30_000).close(2).take();
    talk.advance(500).take();
    const again = talk.untilSync();
    expect(again).toBeDefined();
    talk.confirm(1);
    expect(talk.phase).toBe("live");
    talk.close(talk.session.lastLink);
    const { lastLink } = talk.session;
    for (let i = 0; i < 10; i++) {
      talk.untilSync();
      talk.confirm(1);
    }
    expect(talk.session.lastLink).toBe(lastLink);
  });

  test("ever again is asked for ever less often", () => {
    settled();
    const waits: (number | undefined)[] = [];
    talk.random = 0.999_999;
    for (let i = 0; i < 9; i++) {
      waits.push(talk.untilSync());
      // The new socket never opens.
      const { links, lastLink } = talk.session;
      if (links.length > 1) talk.close(lastLink);
    }
    expect(waits.map((wait) => Math.round((wait ?? 0) / 1000))).toEqual([
      20, 5, 6, 7, 9, 13, 21, 35, 35,
    ]);
  });

  test("nothing heard for 30 s is stale, also where a sync may not be sent", () => {
    settled().nudge().advance(1_000).refuse("RATE_LIMITED", { retry_after_ms: 3_600_000 });
    talk.advance(29_999);
    expect(talk.phase).toBe("live");
    talk.advance(1);
    expect(talk.phase).toBe("degraded");
    talk.hear(frame(upsert("stu_1", 1)));
    expect(talk.phase).toBe("degraded");
  });
});

describe("what is sent", () => {
  test("on open: the views, at once, without a digest while nothing is known", () => {
    talk.watch(students).start().accept();
    expect(talk.take()).toEqual([
      { do: "open", link: 1 },
      { do: "sync", link: 1, syncId: 1, views: [students], mayDigest: false },
    ]);
    expect(talk.phase).toBe("syncing");
    talk.confirm();
    expect(talk.phase).toBe("live");
  });

  test("again 5 s after the opening, with a digest", () => {
    talk.start().accept().advance(100).confirm().take();
    talk.advance(4_899);
    expect(talk.take()).toEqual([]);
    talk.advance(1);
    expect(talk.syncs()).toMatchObject([{ syncId: 2, mayDigest: true }]);
  });

  test("numbers rise on one connection, and start again on the next", () => {
    settled().advance(1_000).nudge().confirm().advance(1_000).nudge();
    expect(talk.syncs().map(({ syncId }) => syncId)).toEqual([3, 4]);
    talk.close().advance(750).accept();
    expect(talk.syncs()).toMatchObject([{ syncId: 1, mayDigest: true }]);
  });

  test.each([
    [0, 15_000],
    [0.5, 20_000],
    [0.999_999, 25_000],
  ])("when nothing was heard for 20 ± 5 s: drawn %d", (random, wait) => {
    settled();
    talk.random = random;
    talk.hear(frame(upsert("stu_1", 1)));
    expect(Math.round(talk.untilSync() ?? 0)).toBe(wait);
  });

  test("at the latest every 60 s, however much is heard", () => {
    talk.random = 0.999_999;
    settled();
    const times: number[] = [];
    let last = talk.at;
    for (let i = 0; i < 200; i++) {
      talk.advance(1_000).hear(frame(upsert("stu_1", i)));
      if (talk.syncs().length === 0) continue;
      times.push(talk.at - last);
      last = talk.at;
      talk.confirm();
    }
    expect(times).toEqual([60_000, 60_000, 60_000]);
  });

  test("at once when the network comes back or the page becomes visible", () => {
    settled().advance(1_000).nudge();
    expect(talk.syncs()).toHaveLength(1);
  });

  test("but no more than once a second, and never beside a pending one", () => {
    settled().advance(1_000).nudge().nudge();
    expect(talk.syncs()).toHaveLength(1);
    talk.confirm().nudge();
    expect(talk.syncs()).toHaveLength(0);
    talk.advance(1_000);
    expect(talk.syncs()).toHaveLength(1);
  });

  test("on RESYNC after a moment chosen by chance, and once for several", () => {
    settled().advance(1_000).hear(encode("RESYNC")).hear(encode("RESYNC"));
    expect(talk.syncs()).toHaveLength(0);
    talk.advance(999);
    expect(talk.syncs()).toHaveLength(0);
    talk.advance(1);
    expect(talk.syncs()).toHaveLength(1);
  });

  test("a RESYNC in the middle of a snapshot is heeded after it, so that it can end", () => {
    settled().advance(1_000).nudge().take();
    talk.part({ part: 1, parts: 2 }).hear(encode("RESYNC")).advance(3_000);
    expect(talk.syncs()).toHaveLength(0);
    talk.part({ part: 2, parts: 2 });
    expect(talk.syncs()).toHaveLength(1);
  });
});

describe("other views", () => {
  test("are sent at once, without a digest until a sync of them is answered", () => {
    settled().watch(students);
    expect(talk.syncs()).toMatchObject([{ syncId: 3, views: [students], mayDigest: false }]);
    expect(talk.phase).toBe("syncing");
    talk.close().advance(750).accept();
    expect(talk.syncs()).toMatchObject([{ views: [students], mayDigest: false }]);
    talk.confirm().advance(5_000);
    expect(talk.syncs()).toMatchObject([{ mayDigest: true }]);
  });

  test("do not wait for the answer about the ones before, which then counts for nothing", () => {
    settled().nudge().advance(1_000);
    const before = talk.pending();
    talk.watch(students).take();
    talk.hear(synced(before));
    expect(talk.phase).toBe("syncing");
    talk.confirm();
    expect(talk.phase).toBe("live");
  });

  test("there and back again want a snapshot: attributes may be missing that versions do not show", () => {
    const { views } = settled().session;
    talk.watch(students).watch(...views);
    expect(talk.syncs().at(-1)).toMatchObject({ views, mayDigest: false });
  });

  test("that are equal are no others", () => {
    settled().watch({ entity_type: "*" });
    expect(talk.take()).toEqual([]);
  });
});

describe("a snapshot", () => {
  const entities = [upsert("stu_1", 1)];
  const retained = () => talk.take().filter(({ do: what }) => what === "retain");

  test("merges each part at once and drops nothing before the last one has come", () => {
    settled()
      .hear(frame(upsert("stu_9", 1)))
      .advance(1_000)
      .nudge()
      .take();
    talk.part({ part: 3, parts: 3 }).part({ part: 1, parts: 3, entities });
    expect(talk.take()).toMatchObject([{ do: "merge", origin: { message: 5, asked: 3 } }]);
    talk.hear(frame(upsert("stu_2", 1)));
    expect(talk.take()).toMatchObject([{ do: "merge", origin: { message: 6, asked: undefined } }]);
    talk.part({ part: 2, parts: 3, entities: [upsert("stu_3", 1)] });
    expect(talk.take()).toMatchObject([
      { do: "merge" },
      {
        do: "retain",
        entities: { named: new Set(["student/stu_1", "student/stu_3"]), asked: 3, message: 7 },
        insights: { named: new Set(), asked: 3, message: 7 },
      },
      { do: "confirm" },
    ]);
  });

  test("says which slices it covers, and what the digest of all is", () => {
    settled().nudge().advance(1_000).take();
    talk.part({ part: 2, parts: 2, covers: [4, 9] }).part({ part: 1, parts: 2, covers: [4, 9] });
    const covers = new Set([4, 9]);
    expect(retained()).toMatchObject([
      { entities: { covers }, insights: { covers }, digest: "0".repeat(32) },
    ]);
    talk.nudge().advance(1_000).take();
    talk.part({});
    expect(retained()).toMatchObject([{ entities: { covers: undefined } }]);
  });

  test("a part that comes twice is one part", () => {
    settled().nudge().advance(1_000);
    talk.part({ part: 1, parts: 2 }).part({ part: 1, parts: 2 });
    expect(retained()).toEqual([]);
    expect(talk.session.links[0]?.pending).toBeDefined();
  });

  test("of an older sync still merges, and drops nothing", () => {
    settled().nudge().advance(1_000);
    const older = talk.pending();
    talk.part({ part: 1, parts: 2, entities });
    talk.watch(students).take();
    talk.part({ part: 2, parts: 2, entities }, older);
    expect(talk.take()).toMatchObject([{ do: "merge", origin: { asked: 0 } }]);
    expect(talk.phase).toBe("syncing");
  });

  test("parts of two snapshots do not add up to one", () => {
    settled().nudge().advance(1_000).take();
    talk
      .part({ part: 1, parts: 2, entities })
      .part({ part: 2, parts: 3 })
      .part({ part: 2, parts: 2 });
    expect(retained()).toEqual([]);
    talk.part({ part: 1, parts: 2 });
    expect(retained()).toHaveLength(1);
  });

  test("that comes slowly is an answer as long as it goes on", () => {
    settled().advance(1_000).nudge(false).take();
    for (let part = 1; part < 10; part++) talk.advance(4_999).part({ part, parts: 10 });
    expect(talk.syncs()).toEqual([]);
    expect(talk.phase).toBe("live");
    talk.advance(5_000);
    expect(talk.phase).toBe("degraded");
    expect(talk.syncs()).toHaveLength(1);
  });
});

describe("a sync that is refused", () => {
  test("RATE_LIMITED: is sent again when the server says, and no earlier for any reason", () => {
    settled().advance(1_000).nudge().refuse("RATE_LIMITED", { retry_after_ms: 12_000 }).take();
    talk.advance(2_000).nudge().watch(students).hear(encode("RESYNC"));
    talk.advance(9_999);
    expect(talk.syncs()).toEqual([]);
    talk.advance(2_000);
    expect(talk.syncs()).toMatchObject([{ views: [students] }]);
  });

  test("UNAVAILABLE: is sent again after a while, and until then nobody knows", () => {
    settled().advance(1_000).nudge().refuse("UNAVAILABLE").take();
    expect(talk.phase).toBe("degraded");
    expect(talk.untilSync()).toBe(6_000);
    talk.confirm();
    expect(talk.phase).toBe("live");
  });

  test("SUPERSEDED: is sent again with a number beyond the server's", () => {
    settled().advance(1_000).nudge().take();
    for (const expected of [7, 15, 31]) {
      talk.refuse("SUPERSEDED");
      expect(talk.untilSync()).toBe(1_000);
      expect(talk.pending()).toBe(expected);
    }
    talk.confirm();
    expect(talk.phase).toBe("live");
  });

  test.each<ErrorCode>(["INVALID", "TOO_LARGE", "UNKNOWN_ACTION", "FORBIDDEN"])(
    "%s: is reported and not repeated, until something else is to be watched",
    (code) => {
      settled().advance(1_000).nudge().take();
      talk.refuse(code, { pointer: "/views/0" });
      expect(talk.take()).toMatchObject([{ do: "report", refusal: { code, pointer: "/views/0" } }]);
      expect(talk.phase).toBe("degraded");
      talk.nudge().hear(encode("RESYNC"));
      expect(talk.untilSync()).toBeUndefined();
      talk.watch(students);
      expect(talk.syncs()).toHaveLength(1);
    },
  );

  test("long ago: concerns nobody", () => {
    settled().advance(1_000).nudge().take();
    const pending = talk.pending();
    talk.hear(encode("ERROR", { code: "INVALID", sync_id: pending - 1 }));
    expect(talk.take()).toEqual([]);
    expect(talk.pending()).toBe(pending);
  });

  test("without a number: is the pending one", () => {
    settled().advance(1_000).nudge().take();
    talk.hear(encode("ERROR", { code: "INVALID" }));
    expect(talk.take()).toMatchObject([{ do: "report" }]);
    expect(talk.confirm.bind(talk)).toThrow("no sync is pending");
  });
});

describe("RECONNECT", () => {
  const told = () => settled().hear(encode("RECONNECT", { within_ms: 10_000 }));

  test.each([
    [0, 0],
    [0.5, 4_000],
    [0.999_999, 8_000],
  ])("opens a second socket at a moment within the time given: drawn %d", (random, wait) => {
    talk.random = random;
    settled();
    const start = talk.at;
    talk.hear(encode("RECONNECT", { within_ms: 10_000 }));
    while (!talk.take().some(({ do: what }) => what === "open")) {
      talk.at = nextDeadline(talk.session);
      talk.tell({ type: "woken" });
    }
    expect(Math.round(talk.at - start)).toBe(wait);
  });

  test("closes the first only when the second is synced, and is live all the time", () => {
    told().advance(4_000);
    expect(talk.take()).toMatchObject([{ do: "open", link: 2 }]);
    talk.accept().part({ part: 1, parts: 2 });
    expect(talk.phase).toBe("live");
    talk.hear(frame(upsert("stu_1", 2)), 1);
    expect(talk.take().filter(({ do: what }) => what === "close")).toEqual([]);
    talk.part({ part: 2, parts: 2 });
    expect(talk.take()).toContainEqual({ do: "close", link: 1 });
    expect(talk.phase).toBe("live");
  });

  test("if the second fails, tries again while the first serves", () => {
    told().advance(4_000).close().take();
    expect(talk.phase).toBe("live");
    talk.advance(750);
    expect(talk.take()).toMatchObject([{ do: "open", link: 3 }]);
    talk.advance(10_000);
    expect(talk.take()).toContainEqual({ do: "close", link: 3 });
  });

  test("if the first ends too early, the second takes its place as it is", () => {
    told().advance(4_000).take();
    talk.accept().close(1);
    expect(talk.phase).toBe("syncing");
    expect(isConnected(talk.session)).toBe(true);
    talk.confirm();
    expect(talk.phase).toBe("live");
    expect(talk.take().filter(({ do: what }) => what !== "sync")).toMatchObject([
      { do: "confirm" },
    ]);
    // No attempt has failed.
    talk.close();
    expect(nextDeadline(talk.session) - talk.at).toBe(750);
  });

  test("happens by itself before the gateway ends the connection", () => {
    settled();
    let opened: number | undefined;
    while (opened === undefined && talk.at < 3 * 3_600_000) {
      talk.at = nextDeadline(talk.session);
      talk.tell({ type: "woken" });
      const effects = talk.take();
      if (effects.some(({ do: what }) => what === "sync")) talk.confirm(1);
      if (effects.some(({ do: what }) => what === "open")) opened = talk.at;
    }
    expect(opened).toBeGreaterThan(105 * 60_000);
    expect(opened).toBeLessThan(115 * 60_000);
  });
});

describe("while the network fails", () => {
  test("waits grow while no connection is stable, and stay within their bounds", () => {
    talk.random = 0.999_999;
    talk.start();
    const waits: number[] = [];
    for (let attempt = 0; attempt < 8; attempt++) {
      talk.close();
      expect(talk.phase).toBe("offline");
      waits.push(Math.round(nextDeadline(talk.session) - talk.at));
      talk.advance(waits.at(-1) ?? 0);
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  });

  test("a connection that was stable for a minute starts again from short waits", () => {
    talk.start();
    for (let attempt = 0; attempt < 6; attempt++) talk.close().advance(30_000);
    talk.accept().confirm().take();
    for (let second = 0; second < 60; second++) {
      talk.advance(1_000);
      if (talk.syncs().length > 0) talk.confirm();
    }
    talk.close();
    expect(nextDeadline(talk.session) - talk.at).toBe(2_750);
    talk.advance(2_750).close();
    expect(nextDeadline(talk.session) - talk.at).toBe(1_250);
  });

  test("a socket that does not open within 10 s is given up", () => {
    talk.start().advance(9_999);
    expect(talk.phase).toBe("connecting");
    talk.advance(1);
    expect(talk.take()).toEqual([
      { do: "open", link: 1 },
      { do: "close", link: 1 },
    ]);
  });

  test("the network's return is worth an attempt, its loss is not", () => {
    talk.start().close().take();
    talk.nudge(false);
    expect(talk.take()).toEqual([]);
    talk.nudge();
    expect(talk.take()).toEqual([{ do: "open", link: 2 }]);
  });

  test("what is heard of a socket that was given up is not heard", () => {
    settled().close().take();
    talk.hear(frame(upsert("stu_1", 1)));
    expect(talk.take()).toEqual([]);
  });
});

test("a timer that comes late does everything that was due, once", () => {
  settled();
  talk.at += 3_600_000;
  talk.tell({ type: "woken" });
  expect(talk.syncs()).toHaveLength(1);
  expect(talk.phase).toBe("degraded");
  talk.confirm();
  expect(talk.phase).toBe("live");
});

test("an answer that comes late, but before the timer that would miss it, is an answer", () => {
  settled().advance(1_000).nudge();
  talk.at += 25_000;
  talk.confirm();
  expect(talk.phase).toBe("live");
});

test("stopped, it closes everything and wants nothing", () => {
  settled()
    .hear(encode("RECONNECT", { within_ms: 0 }))
    .take();
  expect(talk.session.links).toHaveLength(2);
  talk.tell({ type: "stopped" });
  expect(talk.take()).toEqual([
    { do: "close", link: 1 },
    { do: "close", link: 2 },
  ]);
  expect(talk.phase).toBe("stopped");
  expect(nextDeadline(talk.session)).toBe(Infinity);
  talk.nudge().watch(students).tell({ type: "woken" });
  expect(talk.take()).toEqual([]);
});

describe("what nobody has confirmed is not live", () => {
  /** Each second something is heard. */
  function chatter(seconds: number): void {
    for (let i = 0; i < seconds; i++) talk.advance(1_000).hear(frame(upsert("stu_1", i)));
  }

  test("65 s after the last answer, however much is heard and whatever is refused", () => {
    settled().advance(1_000).nudge().refuse("RATE_LIMITED", { retry_after_ms: 3_600_000 });
    chatter(63);
    expect(talk.phase).toBe("live");
    talk.advance(1_000);
    expect(talk.phase).toBe("degraded");
    chatter(10);
    expect(talk.phase).toBe("degraded");
  });

  test("nor is a page that was refused its first sync for so long still catching up", () => {
    talk.start().accept().refuse("RATE_LIMITED", { retry_after_ms: 3_600_000 });
    chatter(64);
    expect(talk.phase).toBe("syncing");
    chatter(1);
    expect(talk.phase).toBe("degraded");
  });

  test("but a long snapshot is an answer with each of its parts", () => {
    settled().advance(1_000).nudge(false);
    for (let part = 1; part <= 40; part++) talk.advance(4_000).part({ part, parts: 41 });
    expect(talk.phase).toBe("live");
  });

  test("after a silence that no timer saw, a word does not end it, but an answer to what is asked then", () => {
    settled().take();
    talk.at += 3_600_000;
    talk.hear(frame(upsert("stu_1", 1)));
    expect(talk.phase).toBe("degraded");
    expect(talk.syncs()).toHaveLength(1);
    talk.confirm();
    expect(talk.phase).toBe("live");
  });

  test("nor does an answer that was given before it", () => {
    settled().advance(1_000).nudge().take();
    talk.at += 3_600_000;
    talk.confirm();
    expect(talk.phase).toBe("degraded");
    expect(talk.syncs()).toHaveLength(1);
    talk.confirm();
    expect(talk.phase).toBe("live");
  });

  test("a wait that the contract does not allow is none", () => {
    settled().advance(1_000).nudge().refuse("RATE_LIMITED", { retry_after_ms: 3_600_001 });
    expect(talk.untilSync()).toBe(6_000);
  });
});

describe("a snapshot with a row that cannot be read", () => {
  const entities = [upsert("stu_1", 1), upsert("stu_2", 1)];
  const withRow = (row: object) => {
    const content = JSON.parse(snapshot(talk.pending(), { entities })) as { entities: object[] };
    return JSON.stringify({ ...content, entities: [...content.entities, row] });
  };

  test("and does not say which: drops nothing, confirms nothing, and is asked for again", () => {
    settled().nudge().advance(1_000).take();
    talk.hear(withRow({ entity_type: "student" }));
    expect(talk.take()).toMatchObject([{ do: "merge" }]);
    expect(talk.phase).toBe("degraded");
    expect(talk.untilSync()).toBeLessThanOrEqual(25_000);
    talk.confirm();
    expect(talk.phase).toBe("live");
  });

  test.each([
    { entity_type: "student", entity_id: "stu_9", operation: "UPSERT" },
    { entity_type: "student", entity_id: "stu_9", operation: "APPLAUD" },
  ])("but says which: that one stays as it was, and the rest is right", (row) => {
    settled().nudge().advance(1_000).take();
    const isFull = { ...row, version: { epoch: 1, revision: 1 }, written_at: "x" };
    talk.hear(withRow(isFull));
    const named = new Set(["student/stu_1", "student/stu_2", "student/stu_9"]);
    expect(talk.take()).toMatchObject([
      { do: "merge" },
      { do: "retain", entities: { named } },
      { do: "confirm" },
    ]);
    expect(talk.phase).toBe("live");
  });

  test("of a type that is not known here: is right without it", () => {
    settled().nudge().advance(1_000).take();
    talk.hear(withRow({ entity_type: "galaxy", entity_id: "m31" }));
    expect(talk.take()).toMatchObject([{ do: "merge" }, { do: "retain" }, { do: "confirm" }]);
    expect(talk.phase).toBe("live");
  });

  test("on a socket that is to follow: does not end the one in use", () => {
    settled()
      .hear(encode("RECONNECT", { within_ms: 0 }))
      .accept()
      .take();
    talk.hear(withRow({ entity_type: "student" }));
    expect(talk.take()).toMatchObject([{ do: "merge" }, { do: "close", link: 2 }]);
    expect(talk.phase).toBe("live");
  });
});

describe("what differs although nothing else has come", () => {
  const differs = () => talk.tell({ type: "differed", link: talk.session.lastLink });
  const retained = () => talk.take().find((effect) => effect.do === "retain");

  test("is asked for once as a whole", () => {
    settled().advance(1_000).nudge().take();
    talk.part({ part: 2, parts: 2 }).part({ part: 1, parts: 2 });
    expect(retained()).toMatchObject({ link: 1, isExact: true });
    differs().advance(1_000);
    expect(talk.syncs()).toMatchObject([{ mayDigest: false }]);
    talk.part({});
    differs().advance(10_000);
    expect(talk.syncs()).toEqual([]);
    expect(talk.untilSync()).toBeDefined();
    talk.confirm().nudge().advance(1_000);
    expect(talk.syncs()).toMatchObject([{ mayDigest: true }]);
  });

  test("cannot be told of a snapshot beside which something came", () => {
    settled().advance(1_000).nudge().take();
    talk.hear(frame(upsert("stu_1", 1))).part({});
    expect(retained()).toMatchObject({ isExact: false });
  });

  test("nor of one of which a row is not known here", () => {
    settled().advance(1_000).nudge().take();
    const content = JSON.parse(snapshot(talk.pending())) as object;
    const entities = [{ entity_type: "galaxy", entity_id: "m31" }];
    talk.hear(JSON.stringify({ ...content, entities }));
    expect(retained()).toMatchObject({ isExact: false });
  });
});

describe("whoever comes back", () => {
  const opens = () => talk.take().filter(({ do: what }) => what === "open" || what === "close");

  test("does not wait for an attempt that began before", () => {
    talk.start().advance(5_000).take();
    talk.nudge();
    expect(opens()).toEqual([
      { do: "close", link: 1 },
      { do: "open", link: 2 },
    ]);
    talk.advance(999).nudge();
    expect(opens()).toEqual([]);
  });

  test("does not wait for an attempt to follow the socket in use either", () => {
    settled()
      .hear(encode("RECONNECT", { within_ms: 0 }))
      .advance(5_000)
      .take();
    talk.nudge();
    expect(opens()).toEqual([
      { do: "close", link: 2 },
      { do: "open", link: 3 },
    ]);
  });

  test("starts again from the shortest waits", () => {
    talk.start();
    for (let i = 0; i < 8; i++) talk.close().advance(30_000);
    talk.nudge().close().take();
    expect(nextDeadline(talk.session) - talk.at).toBe(750);
  });

  test("to a dead socket has a second one beside it after a second, and says nothing of it", () => {
    settled().advance(10_000).take();
    talk.nudge();
    expect(talk.syncs()).toHaveLength(1);
    talk.advance(999);
    expect(opens()).toEqual([]);
    talk.advance(1);
    expect(opens()).toEqual([{ do: "open", link: 2 }]);
    expect(talk.phase).toBe("live");
    talk.accept().confirm();
    expect(opens()).toEqual([{ do: "close", link: 1 }]);
    expect(talk.phase).toBe("live");
  });

  test.each([1, 2])("to a socket that answers in %d parts keeps it", (parts) => {
    settled().advance(10_000).nudge().advance(500).part({ part: 1, parts }).take();
    talk.advance(4_000);
    if (parts === 2) talk.part({ part: 2, parts });
    talk.advance(10_000);
    expect(opens()).toEqual([]);
  });

  test("to a server that refuses for now keeps to what that says", () => {
    settled().advance(10_000).nudge().refuse("RATE_LIMITED", { retry_after_ms: 12_000 }).take();
    talk.advance(2_000).nudge().advance(10_999);
    expect(opens()).toEqual([]);
    talk.advance(5_000);
    expect(opens()).toEqual([{ do: "open", link: 2 }]);
  });

  test("out of a sleep, of which nobody tells, is as quick", () => {
    settled().take();
    talk.at += 600_000;
    talk.tell({ type: "woken" });
    expect(talk.syncs()).toHaveLength(1);
    talk.advance(1_000);
    expect(opens()).toEqual([{ do: "open", link: 2 }]);
  });

  test("out of a sleep to an attempt that began before it does not wait for that", () => {
    talk.start().take();
    talk.at += 600_000;
    talk.tell({ type: "woken" });
    expect(opens()).toEqual([
      { do: "close", link: 1 },
      { do: "open", link: 2 },
    ]);
  });
});

describe("those who lose a stable connection together", () => {
  /** Connected for more than a minute. */
  function stable(): Talk {
    settled();
    for (let second = 0; second < 60; second++) {
      talk.advance(1_000);
      if (talk.syncs().length > 0) talk.confirm();
    }
    return talk;
  }

  test.each([
    [0, 500],
    [0.999_999, 5_000],
  ])("do not come back together: drawn %d", (random, wait) => {
    stable();
    talk.random = random;
    talk.close();
    expect(Math.round(nextDeadline(talk.session) - talk.at)).toBe(wait);
    talk.advance(wait + 1).close();
    talk.random = 0.999_999;
    const second = talk.session.openAt - talk.at;
    expect(second).toBeGreaterThanOrEqual(499);
    expect(second).toBeLessThanOrEqual(2_000);
  });

  test("but who has just come back is alone with it", () => {
    stable().nudge().advance(500).close();
    expect(nextDeadline(talk.session) - talk.at).toBe(750);
  });
});

test("a server that says RECONNECT over and over does not make failures come sooner", () => {
  settled().take();
  for (let i = 0; i < 120; i++) {
    talk.advance(500).hear(encode("RECONNECT", { within_ms: 0 }), 1);
    if (talk.session.links.length > 1) talk.deny("signed_out");
    if (talk.session.links[0]?.pending) talk.confirm(1);
  }
  const opened = talk.take().filter(({ do: what }) => what === "open");
  expect(opened.length).toBeLessThanOrEqual(3);
});

test("started again it opens no socket before the server has said", () => {
  talk.start().deny("unavailable", 60_000).tell({ type: "stopped" }).take();
  talk.start().advance(59_999);
  expect(talk.take()).toEqual([]);
  talk.advance(1);
  expect(talk.take()).toEqual([{ do: "open", link: 2 }]);
});

test("a socket that is to follow and is refused is given up, and another is tried", () => {
  settled()
    .hear(encode("RECONNECT", { within_ms: 0 }))
    .accept()
    .take();
  talk.refuse("INVALID");
  expect(talk.take()).toMatchObject([{ do: "report" }, { do: "close", link: 2 }]);
  talk.advance(750);
  expect(talk.take()).toContainEqual({ do: "open", link: 3 });
});

test("views that were refused are asked for again after some minutes", () => {
  settled().advance(1_000).nudge().refuse("FORBIDDEN").take();
  talk.advance(4 * 60_000 - 1);
  expect(talk.syncs()).toEqual([]);
  talk.advance(2 * 60_000 + 1);
  expect(talk.syncs()).toHaveLength(1);
  talk.confirm();
  expect(talk.phase).toBe("live");
});
