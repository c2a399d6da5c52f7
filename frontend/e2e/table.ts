import {
  DeleteItemCommand,
  DynamoDBClient,
  UpdateItemCommand,
  type AttributeValue,
} from "@aws-sdk/client-dynamodb";
import { variable } from "./environment.ts";

export type Values = Readonly<Record<string, string | number>>;

/** A table, written as any writer would: the client reads its address from the environment. */
class Table {
  readonly #client = new DynamoDBClient();
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  protected async set(key: Values, values: Values): Promise<void> {
    const names = Object.keys(values);
    await this.#client.send(
      new UpdateItemCommand({
        TableName: this.#name,
        Key: encodeAll(key),
        UpdateExpression: `SET ${names.map((_, i) => `#n${i} = :v${i}`).join(", ")}`,
        ExpressionAttributeNames: Object.fromEntries(names.map((name, i) => [`#n${i}`, name])),
        ExpressionAttributeValues: Object.fromEntries(
          Object.values(values).map((value, i) => [`:v${i}`, encode(value)]),
        ),
      }),
    );
  }

  protected async remove(key: Values): Promise<void> {
    await this.#client.send(new DeleteItemCommand({ TableName: this.#name, Key: encodeAll(key) }));
  }

  close(): void {
    this.#client.destroy();
  }
}

export class MetricsTable extends Table {
  constructor() {
    super(variable("METRICS_TABLE"));
  }

  async update(type: string, id: string, values: Values): Promise<void> {
    await this.set(rowKey(type, id), { ...values, last_updated: new Date().toISOString() });
  }

  async delete(type: string, id: string): Promise<void> {
    await this.remove(rowKey(type, id));
  }
}

export class InsightsTable extends Table {
  constructor() {
    super(variable("INSIGHTS_TABLE"));
  }

  /** Writes what was found about a student at that instant. */
  async put(id: string, at: string, values: Values): Promise<void> {
    await this.set(
      { pk: `insight#${id}`, sk: at },
      { entity_id: id, entity_type: "student", timestamp: at, ...values },
    );
  }

  async delete(id: string, at: string): Promise<void> {
    await this.remove({ pk: `insight#${id}`, sk: at });
  }
}

function rowKey(type: string, id: string): Values {
  return { entity_id: id, entity_type: type };
}

function encodeAll(values: Values): Record<string, AttributeValue> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, encode(value)]));
}

function encode(value: string | number): AttributeValue {
  return typeof value === "number" ? { N: String(value) } : { S: value };
}
