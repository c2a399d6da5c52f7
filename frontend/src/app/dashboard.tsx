import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { useIsComplete } from "../api/live.ts";
import { LatestChanges } from "../features/changes/latest-changes.tsx";
import { ConnectionStatus } from "../features/connection/connection-status.tsx";
import { EntityTable } from "../features/entities/entity-table.tsx";
import { Insights } from "../features/insights/insights.tsx";
import { SummaryCards } from "../features/summary/summary-cards.tsx";
import { useWebSocket } from "../live/use-websocket.ts";
import { Icon } from "../ui/icon.tsx";

/** The page: connection, figures, entities, insights, latest changes. */
export function Dashboard({ webSocketUrl }: { webSocketUrl: string }) {
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
      <Header />
      <Box
        component="main"
        sx={{ flex: 1, display: "flex", flexDirection: "column", gap: 2, pb: { xs: 1.5, sm: 3 } }}
      >
        <SummaryCards isComplete={isComplete} />
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
            <EntityTable isConnected={isConnected} isComplete={isComplete} />
          </Box>
          <Insights isComplete={isComplete} />
          <LatestChanges />
        </Box>
      </Box>
    </Box>
  );
}

function Header() {
  return (
    <Box
      component="header"
      sx={{
        flex: "none",
        display: "flex",
        alignItems: "center",
        justifyContent: "space-between",
        gap: 2,
        height: 64,
      }}
    >
      <Box sx={{ display: "flex", alignItems: "center", gap: 1.25, minWidth: 0 }}>
        <Box
          sx={{
            display: "grid",
            placeItems: "center",
            flex: "none",
            width: 30,
            height: 30,
            borderRadius: 1,
            color: "primary.contrastText",
            bgcolor: "primary.main",
          }}
        >
          <Icon name="pulse" />
        </Box>
        <Typography variant="h1" noWrap>
          IOps Dashboard
        </Typography>
      </Box>
      <ConnectionStatus />
    </Box>
  );
}
