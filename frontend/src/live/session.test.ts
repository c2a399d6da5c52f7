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
    expect(talk.phase).toBe("live");
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

  test("with an unreadable item drops nothing, and is an answer all the same", () => {
    settled().nudge().advance(1_000).take();
    const text = snapshot(talk.pending(), { entities });
    talk.hear(text.replace('"student"', "null"));
    expect(talk.take()).toMatchObject([{ do: "merge" }, { do: "confirm" }]);
    expect(talk.phase).toBe("live");
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
    settled().advance(1_000).nudge().take();
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

  test("a connection that was stable for a minute starts again from the shortest waits", () => {
    talk.start();
    for (let attempt = 0; attempt < 6; attempt++) talk.close().advance(30_000);
    talk.accept().confirm().take();
    for (let second = 0; second < 60; second++) {
      talk.advance(1_000);
      if (talk.syncs().length > 0) talk.confirm();
    }
    talk.close();
    expect(nextDeadline(talk.session) - talk.at).toBe(750);
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
  talk.at += 60_000;
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
