// The states in which a capture can die, in the order of the way of a byte: between any two of them nothing else is done.

export const captureStates = [
  /** Written to the spool, and not durable. */
  'spool-written',
  'spool-durable',
  'acknowledged',
  /** All of a segment is durable; it has not got its name. */
  'segment-whole',
  'segment-finished',
  'pack-stored',
  'index-stored',
  'snapshot-ready',
  /** The new version of the block is there, and the old one too. */
  'snapshot-stored',
  'replaced-removed',
  'catalogue-written',
  'release-due',
  'segment-released',
] as const;

export type CaptureState = (typeof captureStates)[number];
