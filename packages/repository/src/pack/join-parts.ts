// What several threads have left at the end becomes as few packs as possible, so that small runs do not litter the repository.

import type { MasterKey } from '../crypto/master-key.ts';
import type { Engine } from '../native/engine.ts';
import { PackBuilder, type FinishedPack, type PackPart } from './pack-builder.ts';

/** Yields packs of all the parts, which it uses up. */
export function* joinParts(
  parts: readonly PackPart[],
  options: {
    readonly engine: Engine;
    readonly key: MasterKey;
    readonly packSizeBytes?: number | undefined;
    readonly verify?: boolean | undefined;
  },
): Generator<FinishedPack> {
  for (const type of ['data', 'tree'] as const) {
    const builder = new PackBuilder({ ...options, type });
    for (const part of parts.filter((candidate) => candidate.type === type)) {
      if (builder.blobCount > 0 && builder.sizeBytes + part.bytes.length > builder.packSizeBytes)
        yield builder.finish();
      builder.addPart(part);
    }
    if (builder.blobCount > 0) yield builder.finish();
  }
}
