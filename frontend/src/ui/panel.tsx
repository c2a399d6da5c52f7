import Paper from "@mui/material/Paper";
import { styled } from "@mui/material/styles";

/** The surface that groups what belongs together. */
export const Panel = styled(Paper)(({ theme }) => ({
  border: `1px solid ${theme.vars.palette.divider}`,
  borderRadius: 14,
  overflow: "hidden",
})) as typeof Paper;
