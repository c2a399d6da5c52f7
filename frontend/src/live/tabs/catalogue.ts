import {
  attributeKinds,
  entityTypes,
  insightKinds,
  requiredOfInsights,
} from "@contracts/zz_kinds.ts";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

/**
 * Sums up which types and attributes this build knows. What it does not know it drops, and a leader would
 * withhold it from the others: versions are equal, so no digest would ever tell.
 */
export function catalogueSum(): string {
  const catalogue = [entityTypes, attributeKinds, insightKinds, requiredOfInsights];
  return bytesToHex(sha256(utf8ToBytes(JSON.stringify(catalogue)))).slice(0, 32);
}
