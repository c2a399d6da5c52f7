import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { describe, expect, it } from "vitest";

import { type Fault, firstFault } from "./fault.ts";
import { compareVersions } from "./version.ts";
import { attributes, insightAttributes, type Attribute } from "./zz_attributes.ts";
import { attributeKinds, entityTypes, insightKinds } from "./zz_kinds.ts";
import type {
  BusEvent,
  MetricUpdateDataV1,
  ServerFrame,
  SyncCommandV1,
  UpdateV1,
  Version,
} from "./zz_types.ts";

type Role = "producer" | "consumer";

interface Schema {
  readonly $id: string;
  readonly "x-max-bytes"?: number;
}

interface Reject {
  readonly why: string;
  readonly pointer: string;
  readonly keyword: string;
  /** "producer": a consumer accepts it. Absent: both refuse it. */
  readonly by?: "producer";
  readonly instance: unknown;
}

interface OrderVector {
  readonly why: string;
  readonly a: Version;
  readonly b: Version;
  readonly order: number;
}

const schemas: Record<Role, Record<string, string>> = {
  producer: import.meta.glob<string>("../schemas/**/*.json", {
    eager: true,
    query: "?raw",
    import: "default",
  }),
  consumer: import.meta.glob<string>("../consumer/**/*.json", {
    eager: true,
    query: "?raw",
    import: "default",
  }),
};
const examples = import.meta.glob<string>("../examples/*/*/*/*.json", {
  eager: true,
  query: "?raw",
  import: "default",
});
const rejects = import.meta.glob<string>("../rejects/*/*/*/*.json", {
  eager: true,
  query: "?raw",
  import: "default",
});
const order = import.meta.glob<string>("../examples/version-order.json", {
  eager: true,
  query: "?raw",
  import: "default",
});

const base: Record<Role, string> = {
  producer: "https://iops-dashboard.dev/contracts/",
  consumer: "https://iops-dashboard.dev/contracts/consumer/",
};

function compiler(role: Role): Ajv2020 {
  const ajv = new Ajv2020({ allErrors: true, strictTypes: false });
  ajv.addVocabulary(["x-meaning", "x-unit", "x-max-bytes", "x-known-values"]);
  addFormats(ajv);
  for (const text of Object.values(schemas[role])) ajv.addSchema(JSON.parse(text) as Schema);
  return ajv;
}

const compilers: Record<Role, Ajv2020> = {
  producer: compiler("producer"),
  consumer: compiler("consumer"),
};

/** The kind of the document in a file: "events/metric-update/v1". */
function kindOf(path: string): string {
  return path.split("/").slice(2, -1).join("/");
}

function validator(role: Role, kind: string): ValidateFunction {
  const validate = compilers[role].getSchema(`${base[role]}${kind}.json`);
  if (validate === undefined) throw new Error(`no schema for ${kind}`);
  return validate;
}

function fault(role: Role, kind: string, document: unknown): Fault | undefined {
  const validate = validator(role, kind);
  return validate(document) ? undefined : firstFault(validate.errors ?? []);
}

describe("rejects", () => {
  expect(Object.keys(rejects).length).toBeGreaterThan(0);

  it.each(Object.entries(rejects))("%s", (path, text) => {
    const reject = JSON.parse(text) as Reject;
    const expected = { pointer: reject.pointer, keyword: reject.keyword };
    expect(fault("producer", kindOf(path), reject.instance)).toMatchObject(expected);
    const consumer = fault("consumer", kindOf(path), reject.instance);
    if (reject.by === "producer") expect(consumer).toBeUndefined();
    else expect(consumer).toMatchObject(expected);
  });
});

describe("examples", () => {
  expect(Object.keys(examples).length).toBeGreaterThan(0);

  it.each(Object.entries(examples))("%s", (path, text) => {
    const kind = kindOf(path);
    const limit = (validator("producer", kind).schema as Schema)["x-max-bytes"] ?? Infinity;
    expect(new TextEncoder().encode(text).length).toBeLessThanOrEqual(limit);
    expect(fault("producer", kind, JSON.parse(text))).toBeUndefined();
    expect(fault("consumer", kind, JSON.parse(text))).toBeUndefined();
  });
});

describe("compareVersions", () => {
  const vectors = Object.values(order).flatMap((text) => JSON.parse(text) as OrderVector[]);
  expect(vectors.length).toBeGreaterThan(0);

  it.each(vectors)("$why", ({ a, b, order }) => {
    expect(compareVersions(a, b)).toBe(order);
    expect(compareVersions(b, a) + order).toBe(0);
  });
});

describe("attribute catalogue", () => {
  const kindsOf = (of: Readonly<Record<string, Attribute>>) =>
    Object.fromEntries(Object.values(of).map(({ name, kind }) => [name, kind]));

  it("has the kinds that programs judge values by", () => {
    expect(kindsOf(insightAttributes)).toEqual(insightKinds);
    for (const type of entityTypes) expect(kindsOf(attributes[type])).toEqual(attributeKinds[type]);
  });

  it("covers each entity type, and explains each attribute", () => {
    expect(Object.keys(attributes).sort()).toEqual([...entityTypes].sort());
    for (const entityType of entityTypes) {
      for (const [name, attribute] of Object.entries(attributes[entityType])) {
        expect(attribute.name).toBe(name);
        expect(attribute.label).not.toBe("");
        expect(attribute.meaning).not.toBe("");
      }
    }
  });

  it("knows units, ranges and values", () => {
    expect(attributes.tutor.avg_rating).toMatchObject({ unit: "stars", minimum: 0, maximum: 5 });
    expect(attributes.tutor.segment.knownValues).toContain("star");
    expect(attributes.subject.balance_status.kind).toBe("choice");
  });

  it("has those of insights", () => {
    expect(insightAttributes.risk_score).toMatchObject({
      unit: "points",
      minimum: 0,
      maximum: 100,
    });
    expect(insightAttributes.recommendations.kind).toBe("texts");
    expect(insightAttributes.prediction_type.knownValues).toContain("low_health_score");
  });
});

/** Compiles only if the unions can be told apart by their discriminators. */
function sessions(update: UpdateV1): number | string | undefined {
  if (update.operation === "REMOVE") return update.reason;
  if (update.entity_type === "subject") return update.attributes.available_tutors;
  return update.attributes.sessions_7d;
}

function sessionsBefore(data: MetricUpdateDataV1): number | undefined {
  if (data.operation === "UPSERT") return data.current.sessions_7d;
  const gone: null = data.current;
  return gone ?? data.previous?.sessions_7d;
}

/** Compiles only if type decides the form of a frame, and operation that of an insight. */
function gist(frame: ServerFrame): unknown {
  switch (frame.type) {
    case "METRIC_UPDATE":
      return frame.data.map(sessions);
    case "INSIGHT_CREATED":
      return frame.data.map((update) =>
        update.operation === "UPSERT" ? update.attributes.risk_score : update.reason,
      );
    case "SNAPSHOT":
      return [frame.entities.length, frame.insights.length, frame.digest];
    case "SYNCED":
      return frame.sync_id;
    case "RESYNC":
      return frame.reason;
    case "RECONNECT":
      return frame.within_ms;
    case "ERROR":
      return frame.code;
  }
}

function score(event: BusEvent): number | undefined {
  if (event.type === "METRIC_UPDATE") return event.data.current?.health_score;
  return event.data.current?.risk_score;
}

function read<T>(name: string): T {
  return JSON.parse(examples[`../examples/${name}.json`] ?? "") as T;
}

describe("types", () => {
  it("tell frames, events and commands apart", () => {
    const frames = ["insight-created", "snapshot", "synced", "resync", "reconnect", "error"];
    expect(frames.map((name) => gist(read<ServerFrame>(`frames/${name}/v1/full`)))).toEqual([
      [84, 84, "DELETED", "EXPIRED", "LEFT_VIEW"],
      [2, 2, "9f86d081884c7d659a2feaa0c55ad015"],
      9007199254740991,
      "BEHIND",
      90000,
      "INVALID",
    ]);
    expect(score(read<BusEvent>("events/metric-update/v1/full"))).toBe(82.5);
    expect(score(read<BusEvent>("events/insight-created/v1/full"))).toBe(84);
    const { views } = read<SyncCommandV1>("commands/sync/v1/full");
    expect(views[0]?.where?.map(({ value }) => value)).toEqual([70, "churned"]);
  });

  it("are told apart by operation and entity_type", () => {
    const frame = JSON.parse(examples["../examples/frames/metric-update/v1/full.json"] ?? "") as {
      data: UpdateV1[];
    };
    expect(frame.data.map(sessions)).toEqual([3, 14, 12, 840, "DELETED", "EXPIRED", "LEFT_VIEW"]);
    const event = JSON.parse(examples["../examples/events/metric-update/v1/delete.json"] ?? "") as {
      data: MetricUpdateDataV1;
    };
    expect(sessionsBefore(event.data)).toBe(2);
  });
});
