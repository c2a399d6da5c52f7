import CssBaseline from "@mui/material/CssBaseline";
import { ThemeProvider } from "@mui/material/styles";
import { QueryClientProvider } from "@tanstack/react-query";
import { useState } from "react";
import { LiveProvider } from "../api/live-provider.tsx";
import { createQueryClient } from "../api/query-client.ts";
import { theme } from "../ui/theme.ts";
import type { Configuration } from "./config.ts";
import { Dashboard } from "./dashboard.tsx";
import { MissingConfiguration } from "./missing-configuration.tsx";

export function App({ configuration }: { configuration: Configuration }) {
  const [client] = useState(createQueryClient);
  return (
    <ThemeProvider theme={theme}>
      <CssBaseline enableColorScheme />
      <QueryClientProvider client={client}>
        {"problem" in configuration ? (
          <MissingConfiguration problem={configuration.problem} />
        ) : (
          <LiveProvider url={configuration.webSocketUrl}>
            <Dashboard webSocketUrl={configuration.webSocketUrl} />
          </LiveProvider>
        )}
      </QueryClientProvider>
    </ThemeProvider>
  );
}
