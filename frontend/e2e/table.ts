import {
  DeleteItemCommand,
  DynamoDBClient,
  UpdateItemCommand,
  type AttributeValue,
} from "@aws-sdk/client-dynamodb";
import { variable } from "./environment.ts";

export type Values = Readonly<Record<string, string | number>>;

/** The metrics table, written as any writer would: the client reads its address from the environment. */
export class MetricsTable {
  readonly #client = new DynamoDBClient();
  readonly #name = variable("METRICS_TABLE");

  async update(type: string, id: string, values: Values): Promise<void> {
    const written: Values = { ...values, last_updated: new Date().toISOString() };
    const names = Object.keys(written);
    await this.#client.send(
      new UpdateItemCommand({
        TableName: this.#name,
        Key: key(type, id),
        UpdateExpression: `SET ${names.map((_, i) => `#n${i} = :v${i}`).join(", ")}`,
        ExpressionAttributeNames: Object.fromEntries(names.map((name, i) => [`#n${i}`, name])),
        ExpressionAttributeValues: Object.fromEntries(
          Object.values(written).map((value, i) => [`:v${i}`, encode(value)]),
        ),
      }),
    );
  }

  async delete(type: string, id: string): Promise<void> {
    await this.#client.send(new DeleteItemCommand({ TableName: this.#name, Key: key(type, id) }));
  }

  close(): void {
    this.#client.destroy();
  }
}

function key(type: string, id: string): Record<string, AttributeValue> {
  return { entity_id: { S: id }, entity_type: { S: type } };
}

function encode(value: string | number): AttributeValue {
  return typeof value === "number" ? { N: String(value) } : { S: value };
}
