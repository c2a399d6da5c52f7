import Box from "@mui/material/Box";
import TablePagination from "@mui/material/TablePagination";
import { useCallback, useDeferredValue, useEffect, useMemo, useState, type ReactNode } from "react";
import { useMetrics, useReplicaReader } from "../../api/live.ts";
import type { Entity, EntityKey, Replica } from "../../live/replica.ts";
import { EmptyState } from "../../ui/empty-state.tsx";
import { Panel } from "../../ui/panel.tsx";
import { countByTab, filterKeys, sortKeys, type Sorting } from "./arrange.ts";
import { ColumnHeading } from "./column-heading.tsx";
import { columnsOf, type Column, type Tab } from "./columns.ts";
import { EntityRow } from "./entity-row.tsx";
import { TableFrame } from "./table-frame.ts";
import { tabId, Toolbar } from "./toolbar.tsx";

const panelId = "entities-panel";
/** Rows that are sorted by what changes are put in order this often, in milliseconds. */
const sortInterval = 2_000;

const entitiesOf = ({ entities, order }: Replica) => ({ entities, order });

export interface EntityTableProps {
  readonly isConnected: boolean;
  /** All entities were here at least once. */
  readonly isComplete: boolean;
  /** Says how current they are. */
  readonly freshness: ReactNode;
}

/** All entities, as they change. */
export function EntityTable({ isConnected, isComplete, freshness }: EntityTableProps) {
  const { entities, order } = useMetrics(entitiesOf);
  const [tab, setTab] = useState<Tab>("all");
  const [search, setSearch] = useState("");
  const [page, setPage] = useState(0);
  const [pageSize, setPageSize] = useState(50);
  const [isPointedAt, setPointedAt] = useState(false);
  const columns = columnsOf[tab];
  const { sorting, sortBy, basis } = useSorting(columns, isPointedAt);

  const counts = useMemo(() => countByTab(order), [order]);
  const wanted = useDeferredValue(search);
  const filtered = useMemo(() => filterKeys(order, tab, wanted), [order, tab, wanted]);
  const keys = useMemo(
    () => (sorting ? sortKeys(filtered, sorting, basis) : filtered),
    [filtered, sorting, basis],
  );
  const lastPage = Math.max(0, Math.ceil(keys.length / pageSize) - 1);
  const shownPage = Math.min(page, lastPage);
  const start = shownPage * pageSize;

  return (
    <Panel
      component="section"
      aria-label="Entities"
      sx={{ display: "flex", flexDirection: "column", minWidth: 0, minHeight: 0 }}
    >
      <Toolbar
        panelId={panelId}
        tab={tab}
        onTab={(chosen) => {
          setTab(chosen);
          setPage(0);
        }}
        counts={counts}
        search={search}
        onSearch={(text) => {
          setSearch(text);
          setPage(0);
        }}
        freshness={freshness}
      />
      <TableFrame
        id={panelId}
        role="tabpanel"
        aria-labelledby={tabId(tab)}
        tabIndex={0}
        onPointerEnter={() => {
          setPointedAt(true);
        }}
        onPointerLeave={() => {
          setPointedAt(false);
        }}
      >
        <table style={{ minWidth: columns.reduce((sum, { width }) => sum + width, 0) }}>
          <colgroup>
            {columns.map(({ name, width }) => (
              <col key={name} style={{ width }} />
            ))}
          </colgroup>
          <thead>
            <tr>
              {columns.map((column) => (
                <ColumnHeading
                  key={column.name}
                  column={column}
                  sorting={sorting?.column === column.name ? sorting : undefined}
                  onSort={sortBy}
                />
              ))}
            </tr>
          </thead>
          <tbody>
            {keys.slice(start, start + pageSize).map((key) => {
              const entity = entities.get(key);
              return entity && <EntityRow key={key} entity={entity} columns={columns} />;
            })}
          </tbody>
        </table>
        {keys.length === 0 && (
          // It stays in view however far the headings are scrolled aside.
          <Box sx={{ position: "sticky", left: 0 }}>
            <NothingToShow
              isConnected={isConnected}
              isComplete={isComplete}
              tab={tab}
              search={wanted}
            />
          </Box>
        )}
      </TableFrame>
      <TablePagination
        component="div"
        count={keys.length}
        page={shownPage}
        onPageChange={(_, chosen) => {
          setPage(chosen);
        }}
        rowsPerPage={pageSize}
        rowsPerPageOptions={[25, 50, 100]}
        onRowsPerPageChange={(event) => {
          setPageSize(Number(event.target.value));
          setPage(0);
        }}
        labelRowsPerPage="Rows"
        sx={{
          flex: "none",
          borderTop: 1,
          borderColor: "divider",
          color: "text.secondary",
          overflow: "hidden",
          "& .MuiTablePagination-toolbar": { minHeight: 44, pl: 1, pr: 0.5 },
          "& .MuiTablePagination-displayedRows, & .MuiTablePagination-selectLabel, & .MuiInputBase-root":
            { fontSize: "0.8125rem" },
        }}
      />
    </Panel>
  );
}

interface SortingState {
  readonly sorting: Sorting | undefined;
  /** Sorts by a column: up, then down, then by type and id again. */
  readonly sortBy: (column: Column) => void;
  /** The entities as they were when the rows were last put in order. */
  readonly basis: ReadonlyMap<EntityKey, Entity>;
}

/**
 * Rows that moved with every update could not be read: they are put in order when the user asks for
 * it and at intervals after that, but never under the pointer.
 */
function useSorting(columns: readonly Column[], isHeld: boolean): SortingState {
  const readReplica = useReplicaReader();
  const [chosen, setChosen] = useState<Sorting>();
  const [basis, setBasis] = useState<ReadonlyMap<EntityKey, Entity>>(new Map());
  const sorting = columns.some(({ name }) => name === chosen?.column) ? chosen : undefined;
  const isSorted = sorting !== undefined;

  const sortBy = useCallback(
    ({ name }: Column) => {
      setBasis(readReplica().entities);
      setChosen((before) => {
        if (before?.column !== name) return { column: name, isDescending: false };
        return before.isDescending ? undefined : { column: name, isDescending: true };
      });
    },
    [readReplica],
  );

  useEffect(() => {
    if (!isSorted || isHeld) return;
    const timer = setInterval(() => {
      setBasis(readReplica().entities);
    }, sortInterval);
    return () => {
      clearInterval(timer);
    };
  }, [isSorted, isHeld, readReplica]);

  return { sorting, sortBy, basis };
}

interface NothingToShowProps extends Omit<EntityTableProps, "freshness"> {
  readonly tab: Tab;
  readonly search: string;
}

function NothingToShow({ isConnected, isComplete, tab, search }: NothingToShowProps) {
  if (search.trim() !== "") {
    return (
      <EmptyState icon="search" title="No id matches">
        Nothing here has an id that contains “{search.trim()}”.
      </EmptyState>
    );
  }
  if (!isComplete) {
    return isConnected ? (
      <EmptyState icon="pulse" title="Waiting for the table…">
        All rows appear as soon as they have come.
      </EmptyState>
    ) : (
      <EmptyState icon="plug" title="Not connected">
        The dashboard cannot reach its server and keeps trying. Rows appear once it can.
      </EmptyState>
    );
  }
  return (
    <EmptyState icon="pulse" title={tab === "all" ? "The table is empty" : `There is no ${tab}`}>
      A row appears as soon as somebody writes one.
    </EmptyState>
  );
}
