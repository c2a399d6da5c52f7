import Box from "@mui/material/Box";
import InputBase from "@mui/material/InputBase";
import Tab from "@mui/material/Tab";
import Tabs from "@mui/material/Tabs";
import type { ReactNode } from "react";
import { formatCount } from "../../ui/format.ts";
import { Icon } from "../../ui/icon.tsx";
import type { Tab as TabName } from "./columns.ts";

const labels: Readonly<Record<TabName, string>> = {
  all: "All",
  student: "Students",
  tutor: "Tutors",
  subject: "Subjects",
  region: "Regions",
};
const names = Object.keys(labels) as TabName[];

export function tabId(tab: TabName): string {
  return `entities-tab-${tab}`;
}

export interface ToolbarProps {
  readonly panelId: string;
  readonly tab: TabName;
  readonly onTab: (tab: TabName) => void;
  readonly counts: Readonly<Record<TabName, number>>;
  readonly search: string;
  readonly onSearch: (search: string) => void;
  /** Says how current what is shown is. */
  readonly freshness: ReactNode;
}

/** Chooses which entities the table shows. */
export function Toolbar({
  panelId,
  tab,
  onTab,
  counts,
  search,
  onSearch,
  freshness,
}: ToolbarProps) {
  return (
    <Box
      sx={{
        display: "flex",
        flexDirection: { xs: "column", md: "row" },
        alignItems: { md: "center" },
        justifyContent: "space-between",
        gap: { xs: 0.5, md: 2 },
        px: { xs: 1, sm: 1.25 },
        pt: { xs: 0.5, md: 0 },
        borderBottom: 1,
        borderColor: "divider",
      }}
    >
      <Tabs
        value={tab}
        onChange={(_, chosen: TabName) => {
          onTab(chosen);
        }}
        variant="scrollable"
        scrollButtons={false}
        aria-label="Entity type"
        sx={{
          minHeight: 48,
          minWidth: 0,
          "& .MuiTabs-indicator": { height: 2, borderRadius: 1 },
        }}
      >
        {names.map((name) => (
          <Tab
            key={name}
            id={tabId(name)}
            value={name}
            aria-controls={panelId}
            label={<TabLabel label={labels[name]} count={counts[name]} />}
            sx={{
              minHeight: 48,
              minWidth: 0,
              px: 1.25,
              fontSize: "0.8125rem",
              fontWeight: 550,
              textTransform: "none",
            }}
          />
        ))}
      </Tabs>
      <Box
        sx={{
          flex: "none",
          display: "flex",
          flexDirection: { xs: "row-reverse", md: "row" },
          alignItems: "center",
          gap: 1.5,
          mb: { xs: 1, md: 0 },
          textAlign: "right",
        }}
      >
        {freshness}
        <Search search={search} onSearch={onSearch} />
      </Box>
    </Box>
  );
}

function TabLabel({ label, count }: { label: string; count: number }) {
  return (
    <Box component="span" sx={{ display: "inline-flex", alignItems: "baseline", gap: 0.75 }}>
      {label}
      <Box
        component="span"
        sx={{
          // Room for four digits, so that a growing count moves no tab.
          minWidth: "4.5ch",
          textAlign: "left",
          fontSize: "0.75rem",
          fontWeight: 400,
          color: "text.secondary",
        }}
      >
        {formatCount(count)}
      </Box>
    </Box>
  );
}

function Search({ search, onSearch }: Pick<ToolbarProps, "search" | "onSearch">) {
  return (
    <InputBase
      type="search"
      value={search}
      onChange={(event) => {
        onSearch(event.target.value);
      }}
      placeholder="Search by id"
      inputProps={{ "aria-label": "Search by id", spellCheck: false, autoComplete: "off" }}
      startAdornment={<Icon name="search" size={16} />}
      sx={{
        width: { xs: "100%", md: 220 },
        px: 1.25,
        gap: 1,
        height: 34,
        fontSize: "0.8125rem",
        color: "text.secondary",
        borderRadius: 1,
        border: 1,
        borderColor: "divider",
        "& input": { color: "text.primary", p: 0 },
        "& input::placeholder": { color: "text.secondary", opacity: 1 },
        "&.Mui-focused": { borderColor: "primary.main" },
        "& input:focus-visible": { outline: "none" },
      }}
    />
  );
}
