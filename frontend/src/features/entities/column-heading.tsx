import Box from "@mui/material/Box";
import ButtonBase from "@mui/material/ButtonBase";
import Tooltip from "@mui/material/Tooltip";
import { memo } from "react";
import { Icon } from "../../ui/icon.tsx";
import type { Sorting } from "./arrange.ts";
import type { Column } from "./columns.ts";

export interface ColumnHeadingProps {
  readonly column: Column;
  readonly sorting: Sorting | undefined;
  readonly onSort: (column: Column) => void;
}

/** Names a column, explains it, and sorts by it. */
export const ColumnHeading = memo(function ColumnHeading({
  column,
  sorting,
  onSort,
}: ColumnHeadingProps) {
  const direction = sorting?.isDescending ? "descending" : "ascending";
  return (
    <th
      scope="col"
      data-numeric={column.isNumeric || undefined}
      aria-sort={sorting ? direction : undefined}
    >
      <Tooltip title={column.meaning} describeChild placement="top">
        <ButtonBase
          onClick={() => {
            onSort(column);
          }}
          sx={{
            gap: 0.25,
            py: 0.5,
            borderRadius: 0.5,
            font: "inherit",
            lineHeight: 1.35,
            color: sorting ? "text.primary" : "inherit",
            flexDirection: column.isNumeric ? "row-reverse" : "row",
            "&:hover": { color: "text.primary" },
          }}
        >
          <Box component="span" sx={{ textAlign: column.isNumeric ? "right" : "left" }}>
            {column.family !== undefined && (
              <Box component="span" sx={{ display: "block", fontSize: "0.6875rem", opacity: 0.9 }}>
                {column.family}{" "}
              </Box>
            )}
            {column.label}
          </Box>
          {sorting && <Icon name={direction} size={14} />}
        </ButtonBase>
      </Tooltip>
    </th>
  );
});
