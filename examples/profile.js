// One user's profile twice: the second read should hit.
import { check } from "k6";
import exec from "k6/execution";
import { Client } from "k6/x/ogcache";

export const options = { vus: 10, iterations: 200, thresholds: { checks: ["rate>0.99"] } };

const client = new Client({ target: __ENV.TARGET || "http://127.0.0.1:3001", tokens: __ENV.TOKENS });

export default async function () {
  const user = exec.scenario.iterationInTest;
  await client.profile(user);
  const again = await client.profile(user);
  check(again, { "the second read hits": (o) => o.lookups.some((l) => l.family === "user_profile" && l.result === "hit") });
}
