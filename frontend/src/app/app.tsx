import CssBaseline from "@mui/material/CssBaseline";
import { ThemeProvider } from "@mui/material/styles";
import { lazy, Suspense } from "react";
import { theme } from "../ui/theme.ts";
import type { Configuration } from "./config.ts";
import { LiveDashboard } from "./live-dashboard.tsx";
import { MissingConfiguration } from "./missing-configuration.tsx";
import { MissingPart } from "./missing-part.tsx";
import { UnknownConfiguration } from "./unknown-configuration.tsx";

/** All that has to do with signing in is loaded only where somebody has to. */
const Gate = lazy(async () => {
  try {
    return { default: (await import("./gate.tsx")).Gate };
  } catch {
    return { default: MissingPart };
  }
});

export function App({ configuration }: { configuration: Configuration }) {
  return (
    <ThemeProvider theme={theme}>
      <CssBaseline enableColorScheme />
      <Page configuration={configuration} />
    </ThemeProvider>
  );
}

function Page({ configuration }: { configuration: Configuration }) {
  if ("problem" in configuration) return <MissingConfiguration problem={configuration.problem} />;
  if ("trouble" in configuration) return <UnknownConfiguration trouble={configuration.trouble} />;
  const { signIn } = configuration;
  if (!signIn) return <LiveDashboard installation={configuration} />;
  return (
    <Suspense>
      <Gate installation={configuration} settings={signIn} />
    </Suspense>
  );
}
