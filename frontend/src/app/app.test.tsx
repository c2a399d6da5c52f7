import { act, render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { StrictMode } from "react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { systemClock } from "../live/clock.ts";
import { FakeServer } from "../testing/fake-server.ts";
import { FakeNetwork } from "../testing/fake-socket.ts";
import {
  encode,
  finding,
  frame,
  insightFrame,
  lost,
  remove,
  synced,
  upsert,
} from "../testing/wire.ts";
import { App } from "./app.tsx";

let network: FakeNetwork;
let paints: FrameRequestCallback[];

beforeEach(() => {
  network = new FakeNetwork();
  paints = [];
  vi.stubGlobal("WebSocket", network.WebSocket);
  vi.stubGlobal("requestAnimationFrame", (run: FrameRequestCallback) => paints.push(run));
  vi.stubGlobal("cancelAnimationFrame", () => {});
});
afterEach(() => {
  vi.unstubAllGlobals();
});

function open() {
  render(
    <StrictMode>
      <App configuration={{ webSocketUrl: "ws://server.test/prod" }} />
    </StrictMode>,
  );
  act(() => {
    network.latest.serverAccepts();
  });
}

async function receive(...messages: unknown[]) {
  await settle(() => {
    for (const message of messages) network.latest.serverSends(message);
  });
}

/** Lets something happen, and the page show it. */
async function settle(happen: () => void) {
  await act(async () => {
    happen();
    for (const paint of paints.splice(0)) paint(0);
    // Observers of the query cache hear of a write in a microtask.
    await Promise.resolve();
  });
}

const row = (name: RegExp) => screen.getByRole("row", { name });
const chip = () => screen.getByRole("status", { name: "Connection" });
const figure = (name: string) => screen.getByRole("group", { name });

describe("insights", () => {
  const panel = () => screen.getByRole("region", { name: "Insights" });

  test("an insight appears with its band, and goes when it is removed", async () => {
    open();
    expect(within(panel()).getByText("None has come yet.")).toBeVisible();
    await receive(
      insightFrame(
        finding("stu_1", 1, { risk_score: 84.2 }),
        finding("stu_2", 1, { risk_band: "warning", risk_score: 66 }, 1),
      ),
    );
    const items = within(panel()).getAllByRole("listitem");
    expect(items).toHaveLength(2);
    expect(items[0]).toHaveTextContent("stu_2");
    expect(items[1]).toHaveTextContent("Low health");
    expect(items[1]).toHaveTextContent("critical 84.2");
    expect(items[1]).toHaveTextContent("Health of stu_1 is low.");
    expect(items[1]).toHaveTextContent("Call today");
    await receive(insightFrame(lost("stu_1", 2)));
    expect(within(panel()).getAllByRole("listitem")).toHaveLength(1);
  });

  test("only one band is shown on request", async () => {
    open();
    await receive(insightFrame(finding("stu_1", 1), finding("stu_2", 1, { risk_band: "warning" })));
    const user = userEvent.setup();
    await user.click(within(panel()).getByRole("button", { name: "warning, 1" }));
    expect(within(panel()).getAllByRole("listitem")).toHaveLength(1);
    expect(within(panel()).getByRole("listitem")).toHaveTextContent("stu_2");
    await user.click(within(panel()).getByRole("button", { name: "info, 0" }));
    expect(within(panel()).getByText("None of these is info.")).toBeVisible();
    await user.click(within(panel()).getByRole("button", { name: "info, 0" }));
    expect(within(panel()).getAllByRole("listitem")).toHaveLength(2);
  });

  test("the page names the frames that it reads", () => {
    open();
    const { searchParams, pathname } = new URL(network.latest.url);
    expect(searchParams.get("contracts")).toBe("METRIC_UPDATE/1,INSIGHT_CREATED/1");
    expect(pathname).toBe("/prod");
  });
});

describe("connection", () => {
  test("the chip says Live once a sync was answered, and Disconnected as long as none was, or no socket is open", async () => {
    render(<App configuration={{ webSocketUrl: "ws://server.test/prod" }} />);
    expect(chip()).toHaveTextContent(/^Disconnected$/);
    expect(screen.getByText("Not connected")).toBeVisible();
    act(() => {
      network.latest.serverAccepts();
    });
    expect(chip()).toHaveTextContent(/^Disconnected$/);
    await receive(synced(1));
    expect(chip()).toHaveTextContent(/^Live$/);
    act(() => {
      network.latest.serverCloses();
    });
    expect(chip()).toHaveTextContent(/^Disconnected$/);
  });

  test("how current the page is stands beside the chip, and describes it", async () => {
    open();
    expect(chip()).toHaveAccessibleDescription("catching up");
    await receive(synced(1));
    expect(chip()).toHaveAccessibleDescription(/^live, \d+\.\d s$/);
    act(() => {
      network.latest.serverCloses();
    });
    expect(chip()).toHaveAccessibleDescription("offline");
  });

  test("what the page has become is read out, its age is not", async () => {
    open();
    const said = () => screen.getByRole("status", { name: "Freshness" });
    expect(said()).toHaveTextContent(/^catching up$/);
    await receive(synced(1));
    expect(said()).toHaveTextContent(/^live$/);
    act(() => {
      network.latest.serverCloses();
    });
    expect(said()).toHaveTextContent(/^offline$/);
  });

  test("each panel says how current what it shows is, and explains it, unasked to nobody", async () => {
    open();
    const notes = screen.getAllByRole("note", { name: "Freshness" });
    const panels = ["Students at a glance", "Entities", "Insights", "Latest changes"];
    for (const [i, name] of panels.entries()) {
      expect(screen.getByRole("region", { name })).toContainElement(notes[i] ?? null);
      expect(notes[i]?.closest("[aria-live], [role=status]")).toBeNull();
    }
    for (const note of notes) {
      expect(note).toHaveTextContent(/^catching up$/);
      expect(note).toHaveAccessibleDescription("What is watched is on its way.");
    }
    await receive(synced(1));
    for (const note of notes) {
      expect(note).toHaveTextContent(/^live, \d+\.\d s$/);
      expect(note).toHaveAccessibleDescription(/^The age of what is shown: /);
    }
    act(() => {
      network.latest.serverCloses();
    });
    for (const note of notes) {
      expect(note).toHaveTextContent(/^offline$/);
      expect(note).toHaveAccessibleDescription(/ What is shown was right at \d\d:\d\d\.$/);
    }
  });

  test("where the server refuses to sync it is stale, however much comes", async () => {
    vi.spyOn(console, "warn").mockReturnValue();
    open();
    await receive(encode("ERROR", { code: "UNKNOWN_ACTION", sync_id: 1 }));
    await receive(frame(upsert("stu_1", 1)));
    expect(chip()).toHaveTextContent(/^Disconnected$/);
    expect(chip()).toHaveAccessibleDescription("stale");
    for (const note of screen.getAllByRole("note", { name: "Freshness" })) {
      expect(note).toHaveTextContent(/^stale$/);
    }
    expect(screen.getByText("Computed from 1 entity so far.")).toBeVisible();
  });

  test("without a URL it says what to do", () => {
    render(<App configuration={{ problem: "No WebSocket URL is configured." }} />);
    expect(screen.getByRole("main")).toHaveTextContent("config.json");
    expect(screen.getByRole("main")).toHaveTextContent("VITE_WEBSOCKET_URL");
    expect(network.sockets).toHaveLength(0);
  });
});

describe("entities", () => {
  test("before the table has come it says that it waits for it", async () => {
    open();
    expect(screen.getByText("Waiting for the table…")).toBeVisible();
    expect(figure("Students")).toHaveTextContent("—");
    await receive(synced(1));
    expect(screen.getByText("The table is empty")).toBeVisible();
    expect(screen.getByText("None in the last day.")).toBeVisible();
  });

  test("rows written before the page opened are shown, and are no changes", async () => {
    const server = new FakeServer(network, systemClock);
    for (let i = 1; i <= 5; i++) server.write("student", `stu_${i}`, i);
    server.write("insight", "stu_1", 84);
    server.settle();
    open();
    await settle(() => {
      server.settle();
    });
    for (let i = 1; i <= 5; i++) expect(row(new RegExp(`stu_${i}`))).toBeVisible();
    expect(screen.getByText("Computed from the whole table: 5 entities.")).toBeVisible();
    const changes = screen.getByRole("region", { name: "Latest changes" });
    expect(within(changes).queryAllByRole("listitem")).toEqual([]);
    const insights = screen.getByRole("region", { name: "Insights" });
    expect(within(insights).getAllByRole("listitem")).toHaveLength(1);
  });

  test("what was missed while disconnected is repaired", async () => {
    const server = new FakeServer(network, systemClock);
    server.write("student", "stu_1", 10);
    server.write("student", "stu_2", 20);
    server.settle();
    open();
    await settle(() => {
      server.settle();
    });
    act(() => {
      network.latest.serverCloses();
      server.write("student", "stu_1", 77);
      server.write("student", "stu_2", undefined);
      server.write("student", "stu_3", 30);
      server.settle();
      window.dispatchEvent(new Event("online"));
      network.latest.serverAccepts();
    });
    expect(row(/stu_1/)).toHaveTextContent("10");
    await settle(() => {
      server.settle();
    });
    expect(row(/stu_1/)).toHaveTextContent("77");
    expect(row(/stu_3/)).toBeVisible();
    expect(screen.queryByRole("row", { name: /stu_2/ })).toBeNull();
  });

  test("an update is a row, and the next one changes it", async () => {
    open();
    await receive(frame(upsert("stu_1", 1, { health_score: 71, segment: "healthy" })));
    expect(row(/stu_1/)).toHaveTextContent("71");
    await receive(frame(upsert("stu_1", 2, { health_score: 64, segment: "at_risk" })));
    expect(row(/stu_1/)).toHaveTextContent("64");
    expect(row(/stu_1/)).toHaveTextContent("at risk");
    expect(figure("At risk")).toHaveTextContent("1");
    const changes = screen.getByRole("region", { name: "Latest changes" });
    const [latest] = within(changes).getAllByRole("listitem");
    expect(latest).toHaveTextContent("stu_1");
    expect(latest).toHaveTextContent("health 71 → 64");
  });

  test("an older update and a malformed frame change nothing, and the next one arrives", async () => {
    const warn = vi.spyOn(console, "warn").mockReturnValue();
    open();
    await receive(frame(upsert("stu_1", 5, { health_score: 64 })));
    await receive(frame(upsert("stu_1", 4, { health_score: 10 })), "{", '{"type":7}');
    expect(row(/stu_1/)).toHaveTextContent("64");
    await receive(frame(upsert("stu_1", 6, { health_score: 80 })));
    expect(row(/stu_1/)).toHaveTextContent("80");
    expect(warn).toHaveBeenCalledTimes(2);
  });

  test("a removed entity goes, and an older update does not bring it back", async () => {
    open();
    await receive(frame(upsert("stu_1", 1), upsert("stu_2", 1)));
    await receive(frame(remove("stu_1", 3)), frame(upsert("stu_1", 2)));
    expect(screen.queryByRole("row", { name: /stu_1/ })).toBeNull();
    expect(row(/stu_2/)).toBeVisible();
    expect(screen.getByText(/removed/)).toBeVisible();
  });

  test("only the cells that changed flash", async () => {
    open();
    await receive(frame(upsert("stu_1", 1, { health_score: 71, sessions_7d: 3 })));
    const health = row(/stu_1/).querySelector<HTMLElement>("[data-column=health_score]");
    const sessions = row(/stu_1/).querySelector<HTMLElement>("[data-column=sessions_7d]");
    expect(health?.dataset["flash"]).toBeUndefined();
    await receive(frame(upsert("stu_1", 2, { health_score: 64, sessions_7d: 3 })));
    const first = health?.dataset["flash"];
    expect(first).toBeDefined();
    await receive(frame(upsert("stu_1", 3, { health_score: 60, sessions_7d: 3 })));
    expect(health?.dataset["flash"]).not.toBe(first);
    expect(sessions?.dataset["flash"]).toBeUndefined();
  });
});

describe("finding", () => {
  const ids = () =>
    screen
      .getAllByRole("rowheader")
      .map(({ textContent }) => textContent)
      .join(" ");

  beforeEach(async () => {
    open();
    await receive(
      frame(
        upsert("stu_2", 1, { health_score: 30 }),
        upsert("stu_10", 1, { health_score: 20 }),
        upsert("tut_1", 1, { health_score: 10 }, "tutor"),
        upsert("sub_1", 1, { region: "north", demand_score: 88 }, "subject"),
      ),
    );
  });

  test("tabs have counts, and that of subjects has more columns", async () => {
    expect(ids()).toBe("stu_2 stu_10 tut_1 sub_1");
    expect(screen.queryByRole("columnheader", { name: "Demand" })).toBeNull();
    await userEvent.click(screen.getByRole("tab", { name: "Subjects 1" }));
    expect(ids()).toBe("sub_1");
    expect(screen.getByRole("columnheader", { name: "Demand" })).toBeVisible();
    expect(row(/sub_1/)).toHaveTextContent("88");
    await userEvent.click(screen.getByRole("tab", { name: "Regions 0" }));
    expect(screen.getByText("Waiting for the table…")).toBeVisible();
    await receive(synced(1));
    expect(screen.getByText("There is no region")).toBeVisible();
  });

  test("the search keeps ids that contain it", async () => {
    await userEvent.type(screen.getByRole("searchbox", { name: "Search by id" }), "_1");
    expect(ids()).toBe("stu_10 tut_1 sub_1");
    await userEvent.type(screen.getByRole("searchbox", { name: "Search by id" }), "x");
    expect(screen.getByText("No id matches")).toBeVisible();
  });

  test("a heading sorts up, down, and not at all; what changes does not move rows at once", async () => {
    const health = () => screen.getByRole("columnheader", { name: "Health" });
    await userEvent.click(within(health()).getByRole("button"));
    expect(health()).toHaveAttribute("aria-sort", "ascending");
    expect(ids()).toBe("tut_1 stu_10 stu_2 sub_1");
    await receive(frame(upsert("stu_2", 2, { health_score: 1 })));
    expect(ids()).toBe("tut_1 stu_10 stu_2 sub_1");
    await userEvent.click(within(health()).getByRole("button"));
    expect(ids()).toBe("stu_10 tut_1 stu_2 sub_1");
    await userEvent.click(within(health()).getByRole("button"));
    expect(ids()).toBe("stu_2 stu_10 tut_1 sub_1");
    expect(health()).not.toHaveAttribute("aria-sort");
  });

  test("headings explain themselves", () => {
    const heading = screen.getByRole("columnheader", { name: "Churn risk 14 days" });
    expect(within(heading).getByRole("button")).toHaveAccessibleDescription(
      /Probability of leaving within the next 14 days/,
    );
  });
});
