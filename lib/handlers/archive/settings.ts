import type { Compression } from "../../shared/archive/member.ts";

/** Where a record says what it belongs to: by names into its value as JSON, in a header, or as the user's code says. */
export type ApplicationRule =
  | { readonly path: readonly string[] }
  | { readonly header: string }
  | { readonly code: true };

/** When a file is closed and may go. */
export interface SealSettings {
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since its first line. */
  readonly age: number;
}

/** Settings of who appends. */
export interface AppendSettings {
  readonly application: ApplicationRule;
  /** Files of an application that are written at once, at most. */
  readonly files: number;
  readonly seal: SealSettings;
  readonly compression: Compression;
  /** Milliseconds a slot is held, unless it is given back. */
  readonly lease: number;
}

/** Settings of who appends, and asks a Redis for its slots. */
export interface RedisSettings extends AppendSettings {
  /** `redis://host:port/database`, or `rediss:`. */
  readonly redis: string;
  /** Put before the names of locks. */
  readonly space: string;
}

/** Settings of who uploads. */
export interface UploadSettings {
  readonly seal: SealSettings;
  /** Put before all keys. */
  readonly prefix: string;
}
