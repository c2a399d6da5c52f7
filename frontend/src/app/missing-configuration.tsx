import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { Panel } from "../ui/panel.tsx";

/** Takes the place of the dashboard, and tells whoever installs it what to do. */
export function MissingConfiguration({ problem }: { problem: string }) {
  return (
    <Box component="main" sx={{ minHeight: "100dvh", display: "grid", placeItems: "center", p: 2 }}>
      <Panel sx={{ maxWidth: 560, p: { xs: 3, sm: 5 } }}>
        <Typography variant="h1" sx={{ fontSize: "1.375rem", mb: 1 }}>
          The dashboard does not know its server
        </Typography>
        <Typography sx={{ color: "text.secondary", mb: 3 }}>{problem} Do one of these:</Typography>
        <Box component="ol" sx={{ m: 0, pl: 2.5, display: "grid", gap: 2 }}>
          <li>
            <Typography sx={{ mb: 1 }}>
              Put a file <code>config.json</code> beside <code>index.html</code>:
            </Typography>
            <Code>{`{ "webSocketUrl": "wss://example.com/prod" }`}</Code>
          </li>
          <li>
            <Typography sx={{ mb: 1 }}>Or give the URL when you build the dashboard:</Typography>
            <Code>VITE_WEBSOCKET_URL=wss://example.com/prod npm run build</Code>
          </li>
        </Box>
        <Typography variant="body2" sx={{ mt: 3, color: "text.secondary" }}>
          Then load this page again.
        </Typography>
      </Panel>
    </Box>
  );
}

function Code({ children }: { children: string }) {
  return (
    <Box
      component="pre"
      sx={{
        m: 0,
        p: 1.5,
        borderRadius: 1,
        bgcolor: "background.default",
        fontSize: "0.8125rem",
        whiteSpace: "pre-wrap",
        overflowWrap: "anywhere",
      }}
    >
      {children}
    </Box>
  );
}
