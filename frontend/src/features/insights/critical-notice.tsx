import Box from "@mui/material/Box";
import { visuallyHidden } from "@mui/utils";
import { useEffect, useRef, useState } from "react";
import type { Finding } from "../../live/findings.ts";
import { bandOf, titleOf } from "./bands.ts";

/** Screen readers hear of new critical insights at most this often, in milliseconds. */
const pause = 5_000;

/** Tells screen readers politely of the newest critical insight. */
export function CriticalNotice({ findings }: { findings: readonly Finding[] }) {
  const newest = findings.find((finding) => bandOf(finding) === "critical");
  const text = newest ? `Critical: ${titleOf(newest)}, ${newest.attributes.entity_id}` : "";
  const [told, setTold] = useState("");
  const toldAt = useRef(-Infinity);
  useEffect(() => {
    if (text === told) return undefined;
    const timer = setTimeout(
      () => {
        toldAt.current = Date.now();
        setTold(text);
      },
      Math.max(0, toldAt.current + pause - Date.now()),
    );
    return () => {
      clearTimeout(timer);
    };
  }, [text, told]);
  return (
    <Box aria-live="polite" sx={visuallyHidden}>
      {told}
    </Box>
  );
}
