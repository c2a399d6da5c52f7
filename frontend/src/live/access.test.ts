import { beforeEach, describe, expect, test } from "vitest";
import { Talk } from "../testing/talk.ts";
import { encode } from "../testing/wire.ts";
import { nextDeadline } from "./session.ts";

let talk: Talk;
beforeEach(() => {
  talk = new Talk({ needsTicket: true });
});

function settled(): Talk {
  return talk.start().accept().confirm().advance(5_000).confirm();
}

const forget = { do: "forget" };
const wait = () => Math.round(nextDeadline(talk.session) - talk.at);

describe("a ticket that cannot be had", () => {
  test("for now: the next try has its time, as for a socket that does not open", () => {
    talk.random = 0.999_999;
    talk.start();
    const waits: number[] = [];
    for (let i = 0; i < 4; i++) {
      talk.deny("unavailable");
      waits.push(wait());
      talk.advance(wait());
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000]);
    expect(talk.session.denial).toBeUndefined();
  });

  test("before the server says: not even when the page becomes visible", () => {
    talk.start().deny("unavailable", 12_000).take();
    talk.advance(1_000).nudge().advance(10_999);
    expect(talk.take()).toEqual([]);
    talk.advance(1);
    expect(talk.take()).toEqual([{ do: "open", link: 2 }]);
  });

  test.each(["signed_out", "forbidden"] as const)(
    "%s: is asked for slowly, or when somebody comes back, until it is there",
    (kind) => {
      talk.start().deny(kind);
      expect(talk.session.denial).toBe(kind);
      expect(wait()).toBe(35_000);
      talk.take();
      talk.nudge();
      expect(talk.take()).toEqual([{ do: "open", link: 2 }]);
      expect(talk.session.denial).toBe(kind);
      talk.accept();
      expect(talk.session.denial).toBeUndefined();
    },
  );

  test("but could be had again, if only the socket does not open", () => {
    talk.start().deny("signed_out").nudge().close();
    expect(talk.session.denial).toBeUndefined();
  });

  test("together with its socket has 10 s", () => {
    talk.start().take();
    talk.advance(10_000);
    expect(talk.take()).toEqual([{ do: "close", link: 1 }]);
    talk.deny("signed_out");
    expect(talk.session.denial).toBeUndefined();
  });
});

test("nor is a socket replaced before the server says", () => {
  settled()
    .hear(encode("RECONNECT", { within_ms: 0 }))
    .deny("unavailable", 60_000)
    .take();
  talk.hear(encode("RECONNECT", { within_ms: 1_000 }));
  for (let second = 0; second < 59; second++) talk.advance(1_000).nudge();
  expect(talk.take()).not.toContainEqual({ do: "open", link: 3 });
  talk.advance(1_000);
  expect(talk.take()).toContainEqual({ do: "open", link: 3 });
});

describe("what is shown", () => {
  test("stays while somebody is only signed out by time", () => {
    settled().close().advance(750).take();
    talk.deny("signed_out");
    expect(talk.take()).toEqual([]);
    expect(talk.session.isComplete).toBe(true);
  });

  test("goes once the server forbids to connect", () => {
    settled().close().advance(750).take();
    talk.deny("forbidden");
    expect(talk.take()).toEqual([forget]);
    expect(talk.session.isComplete).toBe(false);
  });

  test("stays as long as a socket serves, whatever becomes of the next one", () => {
    settled()
      .hear(encode("RECONNECT", { within_ms: 0, reason: "LIFETIME" }))
      .take();
    talk.deny("forbidden");
    expect(talk.take()).toEqual([]);
    expect(talk.phase).toBe("live");
    expect(talk.session.openAt).toBe(talk.at + 35_000);
    talk.close(1);
    expect(talk.take()).toContainEqual(forget);
  });
});

describe("REVOKED", () => {
  const revoked = () => {
    settled()
      .hear(encode("RECONNECT", { within_ms: 0, reason: "REVOKED" }))
      .take();
    return talk;
  };

  test("moves to a socket with another ticket, without a gap", () => {
    revoked().accept();
    expect(talk.phase).toBe("live");
    talk.confirm();
    expect(talk.take()).toContainEqual({ do: "close", link: 1 });
    expect(talk.phase).toBe("live");
    // That permission holds: time alone takes nothing away any more.
    talk.close().advance(750).deny("signed_out");
    expect(talk.take()).not.toContainEqual(forget);
  });

  test.each(["signed_out", "forbidden"] as const)(
    "and no other ticket, %s: the socket ends, and what it brought goes",
    (kind) => {
      revoked().deny(kind);
      expect(talk.take()).toEqual([{ do: "close", link: 1 }, forget]);
      expect(talk.phase).toBe("offline");
      expect(talk.session.denial).toBe(kind);
      expect(wait()).toBe(35_000);
    },
  );

  test("and nobody can tell for now: what is shown stays until somebody can", () => {
    revoked().deny("unavailable").take();
    expect(talk.phase).toBe("live");
    talk.close(1).take();
    talk.advance(10_000).take();
    talk.deny("signed_out");
    expect(talk.take()).toContainEqual(forget);
  });

  test("where no tickets are needed it is any other move", () => {
    talk = new Talk();
    revoked().close();
    expect(talk.phase).toBe("live");
    expect(talk.session.revoked).toBe(0);
  });
});

describe("UNAUTHENTICATED", () => {
  const refused = () => {
    settled().advance(1_000).nudge().take();
    return talk.refuse("UNAUTHENTICATED");
  };

  test("moves to a socket with another ticket", () => {
    refused();
    expect(talk.take()).toEqual([{ do: "open", link: 2 }]);
    expect(talk.phase).toBe("degraded");
    talk.accept().confirm();
    expect(talk.phase).toBe("live");
  });

  test("and no other ticket: what is shown goes", () => {
    refused().take();
    talk.deny("signed_out");
    expect(talk.take()).toEqual([{ do: "close", link: 1 }, forget]);
  });

  test("on the next socket too: ever less often", () => {
    refused();
    talk.random = 0.999_999;
    const waits: number[] = [];
    for (let i = 0; i < 5; i++) {
      talk.accept().refuse("UNAUTHENTICATED");
      const start = talk.at;
      talk.take();
      while (!talk.take().some(({ do: what }) => what === "open")) {
        talk.at = nextDeadline(talk.session);
        talk.tell({ type: "woken" });
      }
      waits.push(Math.round(talk.at - start));
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000]);
  });

  test("where no tickets are needed it is any other refusal", () => {
    talk = new Talk();
    refused();
    expect(talk.take()).toMatchObject([{ do: "report" }]);
  });
});

test("stopped in the middle, nothing is left", () => {
  talk.start().tell({ type: "stopped" });
  expect(talk.take()).toEqual([
    { do: "open", link: 1 },
    { do: "close", link: 1 },
  ]);
  talk.deny("signed_out");
  expect(nextDeadline(talk.session)).toBe(Infinity);
  expect(talk.session.denial).toBeUndefined();
});
