// The same reads through the cache and around it, to compare the two trends.
import exec from "k6/execution";
import { Client } from "k6/x/ogcache";

export const options = {
  scenarios: {
    reads: { executor: "constant-arrival-rate", rate: 50, timeUnit: "1s", duration: "20s", preAllocatedVUs: 50 },
  },
  thresholds: {
    "ogcache_operation_duration{mode:cached,result:hit}": ["med<10"],
    "ogcache_operation_duration{mode:baseline}": ["med>0"],
    ogcache_errors: ["rate==0"],
  },
};

const client = new Client({
  target: __ENV.TARGET || "http://127.0.0.1:3001",
  tokens: __ENV.TOKENS,
  operation: "profile",
  mode: "both",
});

export default async function () {
  await client.run(exec.scenario.iterationInTest);
}
