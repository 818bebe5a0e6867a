import { expect, test } from "vitest";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { Admission } from "../../../lib/runtime/tasks/admission.ts";
import { Background } from "../../../lib/runtime/tasks/background.ts";

/** An admission over a store without runs, which calls back at every claim. */
function emptyAdmission(onClaim: (admission: Admission) => void) {
  const background = new Background((error) => {
    throw error;
  });
  const admission: Admission = new Admission({
    definitions: new Map([["work", { name: "work", timeout: 1, grace: 1 }]]),
    store: {
      async claim() {
        onClaim(admission);
        return [];
      },
    },
    clock: systemClock,
    background,
  } as unknown as ConstructorParameters<typeof Admission>[0]);
  return { admission, background };
}

/** A run that ends while the last look comes to its end is seen by nobody else. */
test.each([0, 1, 2, 3, 4, 5, 6, 7, 8])("a request %i steps after a claim is not lost", async (steps) => {
  let claims = 0;
  const { admission, background } = emptyAdmission(async (asked) => {
    claims += 1;
    if (claims > 1) return;
    for (let step = 0; step < steps; step += 1) await undefined;
    asked.request("work");
  });
  admission.request("work");
  await background.settled();
  await new Promise((resolve) => setImmediate(resolve));
  await background.settled();
  expect(claims).toBe(2);
});
