// Starts SNS and SQS on loopback. Usage: node fauxqs.mjs <port>
// It ends with SIGTERM, or when its standard input closes: whoever started it is gone then.
import { buildApp } from "fauxqs";

const port = Number(process.argv[2]);
const app = buildApp({ logger: false });

let stopping = false;
async function stop() {
  if (stopping) return;
  stopping = true;
  await app.close();
  process.exit(0);
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
process.stdin.on("end", stop).resume();

try {
  await app.listen({ port, host: "127.0.0.1" });
} catch (error) {
  console.error(`SNS and SQS cannot listen on port ${port}: ${error.code ?? error.message}`);
  process.exit(1);
}
