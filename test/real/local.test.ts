/** What the short form tries with an old ffmpeg, once more with a recent one. */
import "../local/command.test.ts";
import "../local/full-disk.test.ts";
import "../local/runs.test.ts";
