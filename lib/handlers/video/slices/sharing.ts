import type { Rendition, Sound } from "../../../shared/video/rendition.ts";
import { type Group, keyEvery, sharing } from "../encode-plan.ts";
import type { Manifest, PictureEncode } from "./manifest.ts";

/**
 * Whether the outputs of a group have a picture that is encoded in slices. Images, clips, sound alone and streams that
 * are copied are quick, or look at the video as a whole.
 */
const isSliced = (group: Group): boolean => {
  const { rendition } = group[0]!;
  const codec = rendition.picture?.codec;
  return (codec === "h264" || codec === "hevc" || codec === "vp9") && rendition.clip === undefined;
};

const slicedGroups = (renditions: readonly Rendition[]) =>
  sharing(renditions.map((rendition) => ({ rendition }))).filter(isSliced);

const pictureOf = (group: Group): PictureEncode => {
  const every = keyEvery(group);
  return { picture: group[0]!.rendition.picture!, ...(every !== undefined && { every }) };
};

const soundOf = (group: Group): Sound | undefined => group[0]!.rendition.sound;

const isSame = (left: unknown, right: unknown): boolean => JSON.stringify(left) === JSON.stringify(right);

const distinct = <Value>(values: readonly Value[]): readonly Value[] =>
  values.filter((value, index) => values.findIndex((other) => isSame(value, other)) === index);

/** What slices are encoded to, each once, whichever renditions come from it. */
export function encodesOf(renditions: readonly Rendition[]): Pick<Manifest, "pictures" | "sounds"> {
  const groups = slicedGroups(renditions);
  return {
    pictures: distinct(groups.map(pictureOf)),
    sounds: distinct(groups.flatMap((group) => soundOf(group) ?? [])),
  };
}

/** Which of a manifest's encodes a group comes from, by their numbers; nothing if it is not made of slices. */
export function encodesFor(group: Group, { pictures, sounds, source }: Manifest) {
  if (!isSliced(group)) return undefined;
  const [wanted, sound] = [pictureOf(group), source.audio && soundOf(group)];
  const picture = pictures.findIndex((each) => isSame(each, wanted));
  return { picture, ...(sound && { sound: sounds.findIndex((each) => isSame(each, sound)) }) };
}
