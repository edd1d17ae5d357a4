// All of the application: reads by popularity, and messages and profile changes.
//
//   loadgen run mix --target http://127.0.0.1:3001 --tokens FILE
//
// The client takes its target and the traffic's parameters from the environment
// (TARGET, TOKENS, USERS, ALPHA, SEED, MODE, …); RATE and DURATION, or
// ITERATIONS, say how much of it.
import exec from "k6/execution";
import { sleep } from "k6";
import { Client } from "k6/x/ogcache";

const vus = Number(__ENV.VUS || 20);
const rate = Number(__ENV.RATE || 0);
const thinkTime = Number(__ENV.THINK_TIME || 0); // seconds

export const options = {
  scenarios: {
    mix: rate
      ? { executor: "constant-arrival-rate", rate, duration: __ENV.DURATION || "30s", preAllocatedVUs: vus, maxVUs: 10 * vus }
      : { executor: "shared-iterations", iterations: Number(__ENV.ITERATIONS || 1000), vus, maxDuration: "1h" },
  },
  thresholds: {
    ogcache_errors: ["rate==0"],
    dropped_iterations: ["count==0"],
  },
};

const client = new Client({});

export default async function () {
  await client.run(exec.scenario.iterationInTest);
  if (thinkTime > 0) sleep(thinkTime);
}
