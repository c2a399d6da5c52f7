import Box from "@mui/material/Box";
import { EmptyState } from "../ui/empty-state.tsx";
import { Panel } from "../ui/panel.tsx";

/** Takes the place of the dashboard while it is not known which installation this is. */
export function UnknownConfiguration({ trouble }: { trouble: string }) {
  return (
    <Box component="main" sx={{ minHeight: "100dvh", display: "grid", placeItems: "center", p: 2 }}>
      <Panel role="alert">
        <EmptyState icon="plug" title="The dashboard cannot find out who its server is">
          {trouble} This page goes on trying.
        </EmptyState>
      </Panel>
    </Box>
  );
}
