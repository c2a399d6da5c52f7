import Box from "@mui/material/Box";
import { EmptyState } from "../ui/empty-state.tsx";
import { Panel } from "../ui/panel.tsx";

/** Takes the place of the dashboard where a part of it could not be loaded. */
export function MissingPart() {
  return (
    <Box component="main" sx={{ minHeight: "100dvh", display: "grid", placeItems: "center", p: 2 }}>
      <Panel role="alert">
        <EmptyState icon="plug" title="A part of this page could not be loaded">
          The network may be down, or there is a newer version. Load this page again.
        </EmptyState>
      </Panel>
    </Box>
  );
}
