// @vitest-environment node
import { Parser } from "@asyncapi/parser";
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import { describe, expect, it } from "vitest";

interface Message {
  readonly payload: { readonly $ref: string };
}

interface Document {
  readonly channels: Record<string, { readonly messages: Record<string, unknown> }>;
  readonly components: {
    readonly messages: Record<string, Message>;
    readonly schemas: Record<string, { readonly "x-schema": string }>;
  };
}

interface Reject {
  readonly pointer: string;
  readonly instance: unknown;
}

const raw = (files: Record<string, string>): [string, string][] => Object.entries(files);

const [[, text]] = raw(
  import.meta.glob<string>("../asyncapi.json", { eager: true, query: "?raw", import: "default" }),
) as [[string, string]];
const examples = raw(
  import.meta.glob<string>("../examples/*/*/*/*.json", {
    eager: true,
    query: "?raw",
    import: "default",
  }),
);
const rejects = raw(
  import.meta.glob<string>("../rejects/*/*/*/*.json", {
    eager: true,
    query: "?raw",
    import: "default",
  }),
);

const document = JSON.parse(text) as Document;
const base = "https://iops-dashboard.dev/contracts/";

/** The kind of the document in a file: "events/metric-update/v1". */
function kindOf(path: string): string {
  return path.split("/").slice(2, -1).join("/");
}

/** The name of each message's schema, by the kind of document that it describes. */
const payloads = new Map(
  Object.values(document.components.messages).map(({ payload }) => {
    const name = payload.$ref.replace("#/components/schemas/", "");
    const source = document.components.schemas[name]?.["x-schema"] ?? "";
    return [source.replace(base, "").replace(".json", ""), name];
  }),
);

describe("the AsyncAPI document", () => {
  it("is accepted by the parser, without a warning", async () => {
    const parsed = await new Parser().parse(text);
    const error = 0;
    const warning = 1;
    expect(
      parsed.diagnostics.filter((d) => d.severity === error || d.severity === warning),
    ).toEqual([]);
    expect(parsed.document?.version()).toBe("3.0.0");
    const channels = parsed.document?.channels().all() ?? [];
    expect(channels.map((channel) => channel.id()).sort()).toEqual(
      Object.keys(document.channels).sort(),
    );
    const protocols = channels.flatMap((c) =>
      c
        .bindings()
        .all()
        .map((binding) => binding.protocol()),
    );
    expect(new Set(protocols)).toEqual(new Set(["ws", "sns", "sqs"]));
  });

  it("is refused once it is broken", async () => {
    const broken = text.replace('"action": "send"', '"action": "shout"');
    expect((await new Parser().parse(broken)).document).toBeUndefined();
  });

  it("has a message for every event, frame and command, and for the quarantined record", () => {
    const channels = new Set(["events", "frames", "commands", "records"]);
    const kinds = examples
      .map(([path]) => kindOf(path))
      .filter((k) => channels.has(k.split("/")[0] ?? ""));
    expect([...payloads.keys()].sort()).toEqual([...new Set(kinds)].sort());
    const sent = Object.values(document.channels).flatMap(({ messages }) => Object.keys(messages));
    expect([...new Set(sent)].sort()).toEqual(Object.keys(document.components.messages).sort());
  });
});

/** Its schemas are draft-07, so they are held against the same documents as the originals. */
describe("the schemas in the AsyncAPI document", () => {
  const ajv = new Ajv({ strict: false });
  addFormats(ajv);
  ajv.addSchema({ $id: "asyncapi", components: document.components });
  const accepts = (kind: string, instance: unknown): boolean => {
    const validate = ajv.getSchema(`asyncapi#/components/schemas/${payloads.get(kind) ?? ""}`);
    if (validate === undefined) throw new Error(`no schema for ${kind}`);
    return validate(instance) as boolean;
  };

  it.each(examples.filter(([path]) => payloads.has(kindOf(path))))("accept %s", (path, content) => {
    expect(accepts(kindOf(path), JSON.parse(content))).toBe(true);
  });

  it.each(rejects.filter(([path]) => payloads.has(kindOf(path))))("refuse %s", (path, content) => {
    expect(accepts(kindOf(path), (JSON.parse(content) as Reject).instance)).toBe(false);
  });
});
