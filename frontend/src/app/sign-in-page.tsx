import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Typography from "@mui/material/Typography";
import { Panel } from "../ui/panel.tsx";
import { Mark } from "./mark.tsx";

export interface SignInPageProps {
  readonly issuer: string;
  /** The page is finding out who is there, or about to leave. */
  readonly isBusy: boolean;
  readonly problem?: string;
  readonly onSignIn: () => void;
}

/** Takes the place of the dashboard until somebody is signed in. */
export function SignInPage({ issuer, isBusy, problem, onSignIn }: SignInPageProps) {
  return (
    <Box component="main" sx={{ minHeight: "100dvh", display: "grid", placeItems: "center", p: 2 }}>
      <Panel sx={{ width: "100%", maxWidth: 420, p: { xs: 3, sm: 5 } }}>
        <Mark size={40} />
        <Typography variant="h1" sx={{ fontSize: "1.375rem", mt: 2.5, mb: 1 }}>
          IOps Dashboard
        </Typography>
        <Typography sx={{ color: "text.secondary", mb: 3, textWrap: "balance" }}>
          Students, tutors, subjects and regions, as they change. Sign in to see those of your
          tenant.
        </Typography>
        {problem !== undefined && (
          <Typography role="alert" sx={{ color: "error.main", mb: 3 }}>
            {problem}
          </Typography>
        )}
        <Button
          fullWidth
          size="large"
          variant="contained"
          disableElevation
          // Whoever waits keeps the focus.
          aria-disabled={isBusy}
          onClick={onSignIn}
          sx={{ textTransform: "none", fontWeight: 600, opacity: isBusy ? 0.6 : 1 }}
        >
          {isBusy ? "Signing in…" : problem === undefined ? "Sign in" : "Try again"}
        </Button>
        <Typography
          variant="body2"
          sx={{ mt: 2, color: "text.secondary", overflowWrap: "anywhere" }}
        >
          {`You sign in at ${new URL(issuer).host} and come back.`}
        </Typography>
      </Panel>
    </Box>
  );
}
