import { render, screen } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { App } from "./app.tsx";

test("while nobody knows which installation this is the page says so, and connects nowhere", () => {
  const connect = vi.fn();
  vi.stubGlobal("WebSocket", connect);
  render(<App configuration={{ trouble: "The file config.json could not be fetched: 503." }} />);
  expect(screen.getByRole("main")).toContainElement(screen.getByRole("alert"));
  expect(screen.getByRole("alert")).toHaveTextContent(/cannot find out.* 503\. .*goes on trying/);
  expect(connect).not.toHaveBeenCalled();
  vi.unstubAllGlobals();
});
