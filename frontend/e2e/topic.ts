import { randomUUID } from "node:crypto";
import { PublishCommand, SNSClient } from "@aws-sdk/client-sns";
import type { MetricUpdateFrameV1, MetricUpdateV1 } from "@contracts/zz_types.ts";
import { variable } from "./environment.ts";

export interface Replay {
  /** How many revisions before the one in the frame. */
  readonly revisionsBack: number;
  readonly attributes: Readonly<Record<string, string | number>>;
}

/** Publishes an event of the student whose update is in `frame`, as a replay of the bus would. */
export async function publishEvent(frame: string, id: string, replay: Replay): Promise<void> {
  const { data } = JSON.parse(frame) as MetricUpdateFrameV1;
  const update = data.find(({ entity_id }) => entity_id === id);
  if (!update) throw new Error(`no update of ${id} in the frame`);
  const now = new Date().toISOString();
  const event: MetricUpdateV1 = {
    specversion: "1.0",
    id: randomUUID(),
    type: "METRIC_UPDATE",
    source: "iops-dashboard/normalizer",
    subject: `student/${id}`,
    time: now,
    datacontenttype: "application/json",
    dataschema: "https://iops-dashboard.dev/contracts/events/metric-update/v1.json",
    tenant: "default",
    traceparent: `00-${randomUUID().replaceAll("-", "")}-${randomUUID().replaceAll("-", "").slice(16)}-01`,
    data: {
      entity_type: "student",
      entity_id: id,
      operation: "UPSERT",
      version: {
        epoch: update.version.epoch,
        revision: update.version.revision - replay.revisionsBack,
      },
      sequence: "1",
      written_at: now,
      current: replay.attributes,
      previous: null,
      changed: Object.keys(replay.attributes).sort(),
    },
  };
  const client = new SNSClient();
  const text = (value: string) => ({ DataType: "String", StringValue: value });
  await client.send(
    new PublishCommand({
      TopicArn: variable("TOPIC_ARN"),
      Message: JSON.stringify(event),
      MessageAttributes: {
        type: text("METRIC_UPDATE"),
        version: text("1"),
        entity_type: text("student"),
        tenant: text("default"),
      },
    }),
  );
  client.destroy();
}
