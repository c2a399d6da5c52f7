import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app/app.tsx";
import { findConfiguration } from "./app/config.ts";

const container = document.getElementById("root");
if (!container) throw new Error("index.html has no element with the id root");

const root = createRoot(container);
await findConfiguration((configuration) => {
  root.render(
    <StrictMode>
      <App configuration={configuration} />
    </StrictMode>,
  );
});
