// Nothing but k6 with the extension: the laboratory runs in process.
import { check } from "k6";
import exec from "k6/execution";
import { Client } from "k6/x/ogcache";

export const options = {
  vus: 4,
  iterations: 400,
  thresholds: { checks: ["rate==1"], ogcache_errors: ["rate==0"] },
};

const client = new Client({ lab: true });

export default async function () {
  const event = await client.run(exec.scenario.iterationInTest);
  check(event, { answered: (e) => e.status < 500, "looked something up": (e) => e.lookups.length > 0 });
  const again = await client.menu();
  check(again, { "the menu is read": (e) => e.lookups[0].family === "menu_items" });
}
