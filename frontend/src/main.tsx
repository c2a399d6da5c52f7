import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app/app.tsx";
import { loadConfiguration } from "./app/config.ts";

const container = document.getElementById("root");
if (!container) throw new Error("index.html has no element with the id root");

const configuration = await loadConfiguration();
createRoot(container).render(
  <StrictMode>
    <App configuration={configuration} />
  </StrictMode>,
);
