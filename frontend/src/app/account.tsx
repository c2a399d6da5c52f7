import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Typography from "@mui/material/Typography";
import type { Person } from "../auth/provider.ts";

/** Says who is signed in, and signs them out. */
export function Account({ person, onSignOut }: { person: Person; onSignOut: () => void }) {
  const { name, tenant } = person;
  return (
    <Box
      role="group"
      aria-label="Account"
      sx={{
        display: "flex",
        alignItems: "center",
        justifyContent: "space-between",
        gap: 1.5,
        minWidth: 0,
        maxWidth: { md: 420 },
      }}
    >
      <Typography variant="body2" component="p" noWrap sx={{ minWidth: 0 }} title={name}>
        <Box component="span" sx={{ fontWeight: 600 }}>
          {name}
        </Box>
        {tenant !== undefined && (
          <Box component="span" sx={{ color: "text.secondary" }}>
            {` · ${tenant}`}
          </Box>
        )}
      </Typography>
      <Button
        size="small"
        variant="outlined"
        color="inherit"
        onClick={onSignOut}
        sx={{
          flex: "none",
          py: 0.25,
          textTransform: "none",
          fontSize: "0.8125rem",
          borderColor: "divider",
          color: "text.secondary",
        }}
      >
        Sign out
      </Button>
    </Box>
  );
}
