import type { ViewV1 } from "@contracts/zz_types.ts";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { Talk } from "../testing/talk.ts";
import { encode, upsert } from "../testing/wire.ts";
import { idle, nextDeadline, phaseOf, step, type Session, type SessionEvent } from "./session.ts";

let talk: Talk;
beforeEach(() => {
  talk = new Talk({ mayPoll: true, needsTicket: true });
});

const students: ViewV1 = { entity_type: "student" };
const polls = () => talk.take().filter(({ do: what }) => what === "poll");

/** No socket opens. */
function blocked(attempts = 3): Talk {
  talk.start();
  for (let i = 1; i <= attempts; i++) {
    talk.close();
    if (i < attempts) talk.advance(talk.session.openAt - talk.at);
  }
  return talk;
}

/** Sockets fail as soon as they are tried. */
function advance(milliseconds: number): void {
  const end = talk.at + milliseconds;
  while (nextDeadline(talk.session) <= end) {
    talk.at = nextDeadline(talk.session);
    talk.tell({ type: "woken" });
    if (talk.session.links.length > 0) talk.close();
  }
  talk.at = end;
}

/** It polls, and was answered. */
function polling(): Talk {
  blocked().advance(1_000).polled().take();
  return talk;
}

/** It waits for the answer to a poll. Returns when that was sent. */
function asking(): number {
  polling();
  while (!talk.session.poll?.pending) advance(100);
  talk.take();
  return talk.session.poll.sentAt;
}

describe("a poll that fails", () => {
  test("is sent again ever less often, and after 30 s without an answer the page is stale", () => {
    polling();
    talk.random = 0.999_999;
    const times: number[] = [];
    const start = talk.at;
    while (talk.at - start < 100_000) {
      advance(100);
      if (polls().length === 0) continue;
      times.push(Math.round((talk.at - start) / 1_000));
      talk.unpolled();
      expect(talk.phase).toBe(talk.at - start < 30_000 ? "polling" : "degraded");
    }
    expect(times).toEqual([5, 10, 15, 20, 28, 44, 74]);
    advance(5_000);
    talk.polled();
    expect(talk.phase).toBe("polling");
  });

  test("by not being answered is given up after 20 s", () => {
    polling().advance(5_000);
    expect(polls()).toHaveLength(1);
    advance(19_999);
    expect(talk.take().filter(({ do: what }) => what === "unpoll")).toEqual([]);
    advance(1);
    expect(talk.take()).toContainEqual({ do: "unpoll" });
    talk.polled();
    expect(talk.take()).toEqual([]);
  });

  test("by pages that come slowly has 20 s for each, and ten minutes for all", () => {
    const start = asking();
    while (talk.at - start < 580_000) {
      advance(19_000);
      talk.tell({ type: "paged" });
    }
    expect(talk.take().filter(({ do: what }) => what === "unpoll")).toEqual([]);
    advance(600_000 - (talk.at - start) - 1);
    expect(talk.take().filter(({ do: what }) => what === "unpoll")).toEqual([]);
    advance(1);
    expect(talk.take()).toContainEqual({ do: "unpoll" });
    talk.tell({ type: "paged" });
    expect(talk.session.poll?.pending).toBeUndefined();
  });

  test("is not sent again before the server says", () => {
    polling().advance(5_000).unpolled("unavailable", 60_000).take();
    advance(59_999);
    expect(polls()).toEqual([]);
    advance(1);
    expect(polls()).toHaveLength(1);
  });

  test("because one may not is sent again slowly, and takes nothing away", () => {
    polling().advance(5_000).unpolled("forbidden").take();
    advance(34_999);
    expect(talk.take().filter(({ do: what }) => what === "poll" || what === "forget")).toEqual([]);
    advance(1);
    expect(polls()).toHaveLength(1);
  });

  test("because one may see nothing any more takes all away", () => {
    asking();
    const failure = { kind: "forbidden", retryAfterMs: 0, mustForget: true } as const;
    talk.tell({ type: "unpolled", poll: talk.session.lastPoll, failure });
    expect(talk.session).toMatchObject({ denial: "forbidden", isComplete: false });
    expect(talk.take()).toContainEqual({ do: "forget" });
    talk.advance(29_000);
    expect(polls()).toEqual([]);
  });

  test("because nobody is signed in ends the polling, until there is a ticket again", () => {
    polling().advance(5_000).unpolled("signed_out");
    expect(talk.session.denial).toBe("signed_out");
    expect(talk.take()).toContainEqual({ do: "unpoll" });
    talk.advance(600_000);
    expect(polls()).toEqual([]);
    // A ticket, and then no socket.
    talk.advance(60_000);
    if (talk.session.links.length === 0) talk.nudge();
    talk.close().advance(2_000);
    expect(polls()).toHaveLength(1);
  });

  test("for 30 s is noticed at once, though nothing else is due", () => {
    polling().nudge().deny("unavailable", 3_600_000);
    talk.advance(5_000).unpolled("unavailable", 3_600_000).advance(24_999);
    expect(talk.phase).toBe("polling");
    talk.advance(1);
    expect(talk.phase).toBe("degraded");
  });

  test("before any was answered leaves the page offline", () => {
    blocked().advance(1_000).unpolled();
    expect(talk.phase).not.toBe("polling");
  });
});

describe("polling begins", () => {
  test("after three sockets in a row that did not open, within 2 s, and not before", () => {
    blocked(2).advance(1_249);
    expect(polls()).toEqual([]);
    talk.advance(1).close().take();
    talk.advance(999);
    expect(polls()).toEqual([]);
    talk.advance(1);
    expect(polls()).toEqual([{ do: "poll", poll: 1, views: [{ entity_type: "*" }] }]);
    expect(talk.phase).not.toBe("polling");
    talk.polled();
    expect(talk.phase).toBe("polling");
  });

  test("where sockets open, and no sync is answered on any", () => {
    talk.start().accept();
    const start = talk.at;
    while (polls().length === 0) {
      talk.at = nextDeadline(talk.session);
      talk.tell({ type: "woken" });
      for (const { id, isOpen } of talk.session.links) {
        if (!isOpen) talk.tell({ type: "opened", link: id });
      }
    }
    expect(talk.at - start).toBeLessThan(35_000);
    talk.polled();
    expect(talk.phase).toBe("polling");
    expect(talk.session.links.length).toBeGreaterThan(0);
  });

  test("not where the API gives no tickets: it would give no answers", () => {
    talk.start();
    for (let i = 0; i < 10; i++) {
      talk.deny("unavailable").advance(nextDeadline(talk.session) - talk.at);
      expect(talk.session.links).toHaveLength(1);
    }
    expect(talk.session.poll).toBeUndefined();
  });

  test("not where there is no API", () => {
    talk = new Talk();
    blocked(10);
    expect(talk.session.poll).toBeUndefined();
  });

  test("not beside a socket that serves, though three could not follow it", () => {
    talk.start().accept().confirm();
    talk.hear(encode("RECONNECT", { within_ms: 0 }));
    for (let link = 2; link <= 4; link++) {
      talk.advance(2_250);
      expect(talk.session.lastLink).toBe(link);
      talk.close();
    }
    expect(talk.session.unanswered).toBe(3);
    expect(talk.session.poll).toBeUndefined();
    expect(talk.phase).toBe("live");
  });
});

describe("a page that was live", () => {
  /** Its socket is lost after some time. */
  function lost(): Talk {
    talk.start().accept().confirm().advance(5_000).confirm().advance(3_000).close().take();
    return talk;
  }

  test("does not poll in an outage of 29 s, however many sockets fail", () => {
    lost();
    advance(29_000);
    expect(talk.session.unanswered).toBeGreaterThanOrEqual(3);
    expect(talk.take().filter(({ do: what }) => what === "poll")).toEqual([]);
    talk.nudge().accept().confirm();
    expect(talk.phase).toBe("live");
  });

  test.each([
    [0, 30_000],
    [0.5, 35_000],
    [0.999_999, 40_000],
  ])("polls some time after 30 s of it: drawn %d", (random, wait) => {
    lost();
    const start = talk.at;
    talk.random = random;
    while (polls().length === 0) advance(100);
    expect(talk.at - start).toBeGreaterThanOrEqual(wait);
    expect(talk.at - start).toBeLessThanOrEqual(wait + 200);
  });

  test("polls no sooner where its socket is open and dead", () => {
    talk.start().accept().confirm();
    const start = talk.at;
    while (polls().length === 0) {
      talk.at = nextDeadline(talk.session);
      talk.tell({ type: "woken" });
      if (talk.session.links.length > 1) talk.close();
    }
    // It was live until the second sync was not answered.
    expect(talk.at - start).toBeGreaterThanOrEqual(10_000 + 30_000);
  });
});

describe("a page that has nothing to show", () => {
  test.each([
    [0, 4_000],
    [0.999_999, 6_000],
  ])("after some seconds polls once, beside the attempt: drawn %d", (random, wait) => {
    talk.random = random;
    talk.start().advance(wait - 1);
    expect(polls()).toEqual([]);
    talk.advance(1);
    expect(polls()).toHaveLength(1);
    expect(talk.session.links).toHaveLength(1);
    talk.polled();
    expect(talk.phase).toBe("polling");
    const at = talk.at;
    while (talk.session.unanswered < 3) {
      talk.at = nextDeadline(talk.session);
      talk.tell({ type: "woken" });
      if (talk.session.unanswered < 3) expect(polls()).toEqual([]);
    }
    expect(talk.at - at).toBeGreaterThan(20_000);
    talk.advance(2_000);
    expect(polls()).toHaveLength(1);
  });

  test("also where its socket opens, and its first sync is refused for now", () => {
    talk.start().accept().refuse("UNAVAILABLE", { retry_after_ms: 60_000 }).advance(5_000);
    expect(polls()).toHaveLength(1);
  });

  test("but not while a snapshot is coming", () => {
    talk.start().accept();
    for (let part = 1; part < 4; part++) talk.advance(2_000).part({ part, parts: 5 });
    expect(polls()).toEqual([]);
    talk.advance(5_000);
    expect(polls()).toHaveLength(1);
  });

  test("because something else is to be watched does the same", () => {
    talk.start().accept().confirm().advance(5_000).confirm().watch(students).take();
    talk.advance(4_999);
    expect(polls()).toEqual([]);
    talk.advance(1);
    expect(polls()).toHaveLength(1);
  });
});

describe("while it polls", () => {
  test("it asks every 5 s, one at a time", () => {
    polling();
    const times: number[] = [];
    const start = talk.at;
    while (times.length < 4) {
      advance(100);
      if (polls().length === 0) continue;
      times.push(talk.at - start);
      expect(talk.session.poll?.pending).toBeDefined();
      advance(300);
      expect(polls()).toEqual([]);
      talk.polled();
    }
    expect(times).toEqual([5_000, 10_000, 15_000, 20_000]);
  });

  test("an answer is merged as a snapshot is, and drops what it does not name", () => {
    talk = polling().advance(5_000);
    const asked = talk.session.messages;
    talk.take();
    talk.polled({ updates: [upsert("stu_1", 1)], sentAt: 77 });
    const message = asked + 1;
    const rest = { asked, message };
    expect(talk.take()).toMatchObject([
      { do: "merge", origin: { message, asked } },
      {
        do: "retain",
        entities: { named: new Set(["student/stu_1"]), ...rest },
        insights: { named: new Set(), ...rest },
      },
      { do: "confirm", asOf: 77 },
    ]);
  });

  test("an answer that could not be read in whole drops nothing, and confirms nothing", () => {
    polling().advance(5_000).take();
    for (let second = 0; second < 35; second++) {
      if (talk.session.poll?.pending) {
        talk.polled({ updates: [upsert("stu_1", 1)] }, false);
        expect(talk.take().filter(({ do: what }) => what !== "poll")).toMatchObject([
          { do: "merge" },
        ]);
      }
      advance(1_000);
      talk.take();
    }
    expect(talk.phase).toBe("degraded");
    while (!talk.session.poll?.pending) advance(1_000);
    talk.polled({});
    expect(talk.phase).toBe("polling");
  });

  test("a row that could not be read, but is named, stays as it was", () => {
    polling().advance(5_000).take();
    talk.polled({ updates: [upsert("stu_1", 1)], unread: ["student/stu_2"] });
    const named = new Set(["student/stu_1", "student/stu_2"]);
    expect(talk.take()).toMatchObject([
      { do: "merge" },
      { do: "retain", entities: { named }, isExact: false },
      { do: "confirm" },
    ]);
  });

  test("other views are asked for at once, and the answer about the ones before counts for nothing", () => {
    polling().advance(6_000).take();
    const before = talk.session.lastPoll;
    talk.watch(students);
    expect(talk.take()).toMatchObject([{ do: "unpoll" }, { do: "poll", views: [students] }]);
    expect(talk.phase).toBe("syncing");
    talk.polled({}, true, before);
    expect(talk.take()).toEqual([]);
    // But no more than once a second.
    talk.watch({ entity_type: "tutor" }).watch(students).take();
    talk.advance(999);
    expect(polls()).toEqual([]);
    talk.advance(1);
    expect(polls()).toHaveLength(1);
    talk.polled();
    expect(talk.phase).toBe("polling");
  });

  test("the network's return is worth a poll", () => {
    polling();
    advance(2_000);
    talk.take();
    talk.nudge();
    expect(polls()).toHaveLength(1);
  });
});

describe("the first socket that is synced ends it", () => {
  test("and until then it goes on, without a gap", () => {
    polling().nudge().take();
    talk.accept();
    expect(talk.phase).toBe("polling");
    talk.advance(5_000);
    expect(polls()).toHaveLength(1);
    talk.confirm();
    expect(talk.take()).toEqual([
      {
        do: "confirm",
        asOf: expect.any(Number) as number,
        askedAt: talk.at,
      },
      { do: "unpoll" },
    ]);
    expect(talk.phase).toBe("live");
    talk.polled();
    expect(talk.take()).toEqual([]);
    expect(talk.session.poll).toBeUndefined();
  });

  test("what is held then is summed up, not sent again", () => {
    polling().nudge().accept();
    expect(talk.syncs()).toMatchObject([{ mayDigest: true }]);
  });

  test("if that is lost, three more have to fail", () => {
    polling().nudge().accept().confirm().close().take();
    for (let i = 0; i < 2; i++) talk.advance(nextDeadline(talk.session) - talk.at).close();
    expect(talk.session.unanswered).toBe(2);
    talk.advance(2_000);
    expect(polls()).toEqual([]);
  });
});

test("stopped, it asks for nothing", () => {
  polling().advance(5_000).take();
  talk.tell({ type: "stopped" });
  expect(talk.take()).toContainEqual({ do: "unpoll" });
  expect(nextDeadline(talk.session)).toBe(Infinity);
  talk.polled();
  expect(talk.take()).toEqual([]);
});

const failure = fc.record({
  kind: fc.constantFrom("signed_out" as const, "forbidden" as const, "unavailable" as const),
  retryAfterMs: fc.constantFrom(0, 5_000),
});
const happening = fc.oneof(
  { weight: 3, arbitrary: fc.record({ what: fc.constant("wait" as const), for: fc.nat(40_000) }) },
  { weight: 3, arbitrary: fc.record({ what: fc.constant("close" as const), which: fc.nat(1) }) },
  fc.record({ what: fc.constant("deny" as const), failure }),
  fc.record({ what: fc.constant("fail" as const), failure }),
  fc.record({ what: fc.constantFrom("accept", "answer", "error"), which: fc.nat(1) }),
  fc.record({ what: fc.constantFrom("polled", "start", "stop", "nudge", "revoke", "watch") }),
);

test("whatever happens: two links, one poll, none after a stop, and none beside a socket that serves", () => {
  fc.assert(
    fc.property(
      fc.array(happening, { maxLength: 80, size: "max" }),
      fc.boolean(),
      (all, needsTicket) => {
        talk = new Talk({ mayPoll: true, needsTicket });
        const links = new Set<number>();
        let pending: number | undefined;
        const check = () => {
          for (const effect of talk.take()) {
            if (effect.do === "open") links.add(effect.link);
            if (effect.do === "close") expect(links.delete(effect.link)).toBe(true);
            if (effect.do === "poll") {
              expect(pending).toBeUndefined();
              pending = effect.poll;
            }
            if (effect.do === "unpoll") pending = undefined;
            expect(links.size).toBeLessThanOrEqual(2);
          }
          const { session } = talk;
          expect(new Set(session.links.map(({ id }) => id))).toEqual(links);
          expect(session.poll?.pending?.id).toBe(pending);
          const [current] = session.links;
          const serves = current?.isSynced && !current.isDoubtful;
          if (serves && session.isComplete) expect(session.poll).toBeUndefined();
          if (!session.isRunning) expect(nextDeadline(session)).toBe(Infinity);
          else expect(nextDeadline(session)).toBeLessThan(Infinity);
          expect(phaseOf(session)).toBeTruthy();
        };
        const tell = (event: SessionEvent) => {
          if (event.type === "closed") links.delete(event.link);
          talk.tell(event);
          check();
        };
        for (const each of all) {
          const { session } = talk;
          const link = "which" in each ? session.links[each.which] : session.links.at(-1);
          switch (each.what) {
            case "wait": {
              const end = talk.at + each.for;
              while (nextDeadline(talk.session) <= end) {
                talk.at = Math.max(talk.at, nextDeadline(talk.session));
                tell({ type: "woken" });
              }
              talk.at = end;
              break;
            }
            case "start":
              tell({ type: "started" });
              break;
            case "stop":
              tell({ type: "stopped" });
              break;
            case "nudge":
              tell({ type: "nudged", mayConnect: true });
              break;
            case "watch":
              tell({
                type: "watched",
                views: [{ entity_type: all.indexOf(each) % 2 === 0 ? "student" : "*" }],
              });
              break;
            case "polled":
              if (pending === undefined) break;
              pending = undefined;
              talk.polled();
              check();
              break;
            case "fail":
              if (pending === undefined) break;
              tellUnpolled(each.failure);
              break;
            case "deny":
              if (link && !link.isOpen)
                tell({ type: "closed", link: link.id, failure: each.failure });
              break;
            case "close":
              if (link) tell({ type: "closed", link: link.id });
              break;
            case "accept":
              if (link && !link.isOpen) tell({ type: "opened", link: link.id });
              break;
            case "answer":
              if (!link?.pending) break;
              talk.confirm(link.id);
              check();
              break;
            case "error":
              if (!link?.pending) break;
              talk.hear(encode("ERROR", { code: "UNAUTHENTICATED" }), link.id);
              check();
              break;
            case "revoke":
              if (!link?.isOpen) break;
              talk.hear(encode("RECONNECT", { within_ms: 1_000, reason: "REVOKED" }), link.id);
              check();
          }
        }
        tell({ type: "stopped" });
        expect(links.size).toBe(0);
        expect(pending).toBeUndefined();

        function tellUnpolled(why: {
          kind: "signed_out" | "forbidden" | "unavailable";
          retryAfterMs: number;
        }) {
          const poll = talk.session.lastPoll;
          pending = undefined;
          tell({ type: "unpolled", poll, failure: why });
        }
      },
    ),
    { numRuns: 400 },
  );
});

test("settings decide, so that a test need not wait", () => {
  const timing = { ...idle.timing, toleratedFailures: 1, poll: 100, spread: 0 };
  let session: Session = { ...idle, timing, mayPoll: true };
  const take = (event: SessionEvent, at: number) => {
    const next = step(session, event, { at, random: 0.5 });
    session = next.session;
    return next.effects;
  };
  take({ type: "started" }, 0);
  expect(take({ type: "closed", link: 1 }, 0)).toMatchObject([{ do: "poll", poll: 1 }]);
});
