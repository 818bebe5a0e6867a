import type { NatsConnection } from "@nats-io/transport-node";
import { type Clock, systemClock } from "../../../runtime/clock.ts";
import { readEnvironment } from "../../../shared/environment.ts";
import { natsAccess, sharedNats } from "./account.ts";

/** What a program that does one thing and ends is given. */
export interface ProgramWorld {
  readonly nats: NatsConnection;
  readonly clock: Clock;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

export type Program = (world: ProgramWorld) => Promise<void>;

/** Runs a program in a pod of its own: called by the bundle when it is loaded. What it throws ends the process with 1. */
export async function start({ handler }: { readonly handler: Program }, variables = process.env): Promise<void> {
  const { place } = readEnvironment(variables);
  const { nats, close } = sharedNats(natsAccess(place, variables));
  try {
    await handler({ nats: await nats(), clock: systemClock, variables });
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    await close();
  }
}

/** @throws an error that names the variable. */
export function variable({ variables }: ProgramWorld, name: string): string {
  const text = variables[name];
  if (text) return text;
  throw new Error(`the environment variable ${name} is missing: this pod was not deployed by Millrace`);
}
