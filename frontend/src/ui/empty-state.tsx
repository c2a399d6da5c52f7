import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import type { ReactNode } from "react";
import { Icon, type IconName } from "./icon.tsx";

export interface EmptyStateProps {
  readonly icon: IconName;
  readonly title: string;
  readonly children?: ReactNode;
}

/** Says why there is nothing to see, and what will change that. */
export function EmptyState({ icon, title, children }: EmptyStateProps) {
  return (
    <Box
      sx={{ display: "grid", justifyItems: "center", gap: 1, px: 3, py: 10, textAlign: "center" }}
    >
      <Box
        sx={{
          display: "grid",
          placeItems: "center",
          width: 44,
          height: 44,
          mb: 0.5,
          borderRadius: "50%",
          color: "primary.main",
          bgcolor: "color-mix(in srgb, currentColor 10%, transparent)",
        }}
      >
        <Icon name={icon} size={22} />
      </Box>
      <Typography sx={{ fontWeight: 600 }}>{title}</Typography>
      <Typography
        variant="body2"
        sx={{ maxWidth: 380, color: "text.secondary", textWrap: "balance" }}
      >
        {children}
      </Typography>
    </Box>
  );
}
