import { createTheme } from "@mui/material/styles";

declare module "@mui/material/styles" {
  interface CssThemeVariables {
    enabled: true;
  }
}

const sans =
  '"Inter", ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif';

/** Every text colour keeps a contrast of at least 4.5 on its background, in both schemes. */
export const theme = createTheme({
  // The scheme follows the system's: a media query decides, before any script has run.
  cssVariables: { colorSchemeSelector: "media" },
  colorSchemes: {
    light: {
      palette: {
        primary: { main: "#0f6b66", contrastText: "#ffffff" },
        success: { main: "#17693b" },
        info: { main: "#2a5ba3" },
        warning: { main: "#865000" },
        error: { main: "#b0261e" },
        background: { default: "#f6f7f9", paper: "#ffffff" },
        text: { primary: "#14181f", secondary: "#556070" },
        divider: "#e3e6eb",
      },
    },
    dark: {
      palette: {
        primary: { main: "#63cdc4", contrastText: "#06201e" },
        success: { main: "#77d39c" },
        info: { main: "#8db8f7" },
        warning: { main: "#efb65f" },
        error: { main: "#ff938a" },
        background: { default: "#0e1116", paper: "#151a21" },
        text: { primary: "#e7ebf0", secondary: "#9ba6b5" },
        divider: "#262d37",
      },
    },
  },
  shape: { borderRadius: 10 },
  typography: {
    fontFamily: sans,
    fontSize: 14,
    h1: { fontSize: "1.0625rem", fontWeight: 650, letterSpacing: "-0.01em", lineHeight: 1.3 },
    h2: { fontSize: "0.9375rem", fontWeight: 650, letterSpacing: "-0.005em", lineHeight: 1.4 },
    body2: { fontSize: "0.8125rem", lineHeight: 1.5 },
    caption: { fontSize: "0.75rem", lineHeight: 1.5 },
  },
  components: {
    MuiCssBaseline: {
      styleOverrides: {
        body: { fontVariantNumeric: "tabular-nums", WebkitFontSmoothing: "antialiased" },
        ":focus-visible": {
          outline: "2px solid var(--mui-palette-primary-main)",
          outlineOffset: 2,
        },
      },
    },
    MuiButtonBase: { defaultProps: { disableRipple: true } },
    MuiPaper: {
      defaultProps: { elevation: 0 },
      styleOverrides: { root: { backgroundImage: "none" } },
    },
    MuiTooltip: {
      defaultProps: {
        enterDelay: 300,
        enterNextDelay: 150,
        disableInteractive: true,
        // Inside the landmark that it explains something of.
        slotProps: { popper: { container: () => document.querySelector("main") } },
      },
      styleOverrides: {
        tooltip: ({ theme }) => ({
          padding: "8px 11px",
          maxWidth: 264,
          fontSize: "0.75rem",
          lineHeight: 1.45,
          color: theme.vars.palette.background.paper,
          backgroundColor: theme.vars.palette.text.primary,
        }),
      },
    },
  },
});
