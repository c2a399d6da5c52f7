import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import type { ReactNode } from "react";
import { useIsComplete } from "../api/live.ts";
import { LatestChanges } from "../features/changes/latest-changes.tsx";
import { ConnectionStatus } from "../features/connection/connection-status.tsx";
import { PanelFreshness } from "../features/connection/panel-freshness.tsx";
import { EntityTable } from "../features/entities/entity-table.tsx";
import { Insights } from "../features/insights/insights.tsx";
import { SummaryCards } from "../features/summary/summary-cards.tsx";
import { useWebSocket } from "../api/use-websocket.ts";
import { Mark } from "./mark.tsx";

const ofEntities = <PanelFreshness part="entities" />;
const ofInsights = <PanelFreshness part="insights" />;

export interface DashboardProps {
  readonly webSocketUrl: string;
  /** Says who is signed in, where somebody has to be. */
  readonly account?: ReactNode;
}

/** The page: connection, figures, entities, insights, latest changes. */
export function Dashboard({ webSocketUrl, account }: DashboardProps) {
  const { isConnected } = useWebSocket(webSocketUrl);
  const isComplete = useIsComplete();
  return (
    <Box
      sx={{
        display: "flex",
        flexDirection: "column",
        minHeight: "100dvh",
        maxWidth: 1760,
        mx: "auto",
        px: { xs: 1.5, sm: 3 },
      }}
    >
      <Header account={account} />
      <Box
        component="main"
        sx={{ flex: 1, display: "flex", flexDirection: "column", gap: 2, pb: { xs: 1.5, sm: 3 } }}
      >
        <SummaryCards isComplete={isComplete} freshness={ofEntities} />
        <Box
          sx={{
            flex: "1 1 auto",
            display: "grid",
            gap: 2,
            gridTemplateColumns: { xs: "minmax(0, 1fr)", lg: "minmax(0, 1fr) 300px" },
            // The table takes what is left of a tall window, and never less than this.
            gridTemplateRows: {
              xs: "640px 460px 420px",
              lg: "minmax(320px, 5fr) minmax(280px, 4fr)",
            },
          }}
        >
          <Box sx={{ display: "grid", minHeight: 0, gridRow: { lg: "span 2" } }}>
            <EntityTable isConnected={isConnected} isComplete={isComplete} freshness={ofEntities} />
          </Box>
          <Insights isComplete={isComplete} freshness={ofInsights} />
          <LatestChanges freshness={ofEntities} />
        </Box>
      </Box>
    </Box>
  );
}

function Header({ account }: { account: ReactNode }) {
  return (
    <Box
      component="header"
      sx={{
        flex: "none",
        display: "flex",
        flexWrap: "wrap",
        alignItems: "center",
        columnGap: { xs: 2, md: 3 },
        rowGap: 1,
        py: 1.5,
        minHeight: 64,
        // On a narrow screen the account has a line of its own.
        "& > [role=group]": { flex: { xs: "1 0 100%", md: "0 1 auto" } },
      }}
    >
      <Box sx={{ display: "flex", alignItems: "center", gap: 1.25, minWidth: 0, mr: "auto" }}>
        <Mark size={30} />
        <Typography variant="h1" noWrap>
          IOps Dashboard
        </Typography>
      </Box>
      <ConnectionStatus />
      {account}
    </Box>
  );
}
