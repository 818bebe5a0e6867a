import * as z from "zod";
import { type Duration, toSeconds } from "../duration.ts";
import { BITRATE, type Bitrate } from "./bitrate.ts";
import { CODECS, FORMATS } from "./formats.ts";
import { POSITIONS, PRESETS } from "./rendition-spec.ts";

const duration = z.custom<Duration>(isDuration, 'a duration such as "5 seconds" or "1.5 minutes" is wanted');
const positive = duration.refine((text) => toSeconds(text) > 0, "must be longer than zero");
const bitrate = z.custom<Bitrate>(
  (given) => typeof given === "string" && BITRATE.test(given) && Number.parseFloat(given) > 0,
  'a bitrate such as "800 kbps" or "2.5 Mbps" is wanted',
);
const name = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/,
    "a name is 1 to 64 letters, digits, - and _, beginning with a letter or digit",
  );
const key = z.string().min(1, "an object key is wanted").max(1024, "an object key has at most 1,024 characters");

const place = {
  position: z.enum(POSITIONS).optional(),
  size: z.number().min(1).max(100).optional(),
  opacity: z.number().min(0).max(1).optional(),
};
const watermark = z.union([
  z.strictObject({ image: key, ...place }),
  z.strictObject({
    text: z
      .string()
      .min(1, "a text is wanted")
      .max(200, "a text has at most 200 characters")
      .regex(/^\P{Cc}*$/u, "a text is one line without control characters"),
    font: key.optional(),
    color: z
      .string()
      .regex(/^(#[0-9a-fA-F]{6}|[a-zA-Z]{3,24})$/, "a color is a name such as white, or #rrggbb")
      .optional(),
    ...place,
  }),
]);

/** What a rendition may say; what goes with what is checked by `effectiveRenditions`. */
export const renditionSchema = z.union([
  z.enum(FORMATS),
  z.strictObject({
    format: z.enum(FORMATS),
    name: name.optional(),
    codec: z.enum(CODECS).optional(),
    height: z
      .number()
      .int()
      .min(16)
      .max(4320)
      .refine((lines) => lines % 2 === 0, "players want even heights")
      .optional(),
    upscale: z.boolean().optional(),
    crf: z.number().min(0).max(63).optional(),
    bitrate: bitrate.optional(),
    preset: z.enum(PRESETS).optional(),
    audio: z.union([z.literal(false), z.strictObject({ bitrate })]).optional(),
    watermark: watermark.optional(),
    clip: z.strictObject({ start: duration.optional(), end: positive.optional() }).optional(),
    fps: z.number().min(0.1).max(60).optional(),
    segment: positive.optional(),
    at: duration.optional(),
    every: positive.optional(),
  }),
]);

function isDuration(given: unknown): boolean {
  try {
    toSeconds(given as Duration);
    return true;
  } catch {
    return false;
  }
}
