// Saves a cluster twice in one snapshot: its files, which bring it back to any second and as a whole, and dumps, which bring
// back single databases, into other versions as well.

import type { SavedDatabase } from '@varve/contract';
import type { Produced } from '../producer.ts';
import { saveDump, type SaveDumpInput } from './save-dump.ts';

/** One after the other, so that the server is asked for one thing at a time. Throws what either throws: both or nothing. */
export async function saveBoth(
  input: SaveDumpInput,
  saveFiles: () => Promise<Produced<SavedDatabase>>,
): Promise<Produced<SavedDatabase>> {
  const dump = await saveDump(input);
  const base = await saveFiles();
  const { path, databases, globalsPath, bytes } = dump.saved;
  return {
    saved: { ...base.saved, dump: { path, databases, globalsPath, bytes } },
    files: base.files + dump.files,
    bytes: base.bytes + dump.bytes,
    problems: [...base.problems, ...dump.problems],
  };
}
