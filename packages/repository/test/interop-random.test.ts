// restic and Varve in turn on one repository, by chance: whatever the order, and whichever of them dies in between, everything that
// was saved and not forgotten can be restored by both. VARVE_SEQUENCES sets how many sequences, VARVE_SEED repeats the first.

import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { InteropLab } from './interop-lab.ts';
import { resticMissing } from './restic-oracle.ts';
import { seededRandom } from './seeded-random.ts';

const missing = resticMissing();
const sequences = Number(process.env['VARVE_SEQUENCES'] ?? 2);
const firstSeed = Number(process.env['VARVE_SEED'] ?? randomBytes(4).readUInt32LE());
const stepsOfSequence = 25;

describe.skipIf(missing !== null)(`restic and Varve in turn (${missing ?? 'restic is there'})`, () => {
  const seeds = Array.from({ length: sequences }, (_, number) => (firstSeed + number) >>> 0);

  test.for(seeds)('lose nothing that was saved and not forgotten [seed %i]', { timeout: 300_000 }, async (seed) => {
    await using lab = await InteropLab.create(seededRandom(seed));
    try {
      for (let step = 0; step < stepsOfSequence; step++) await lab.step();
      await lab.expectSound();
    } catch (error) {
      throw new Error(`after these steps:\n${lab.log.join('\n')}`, { cause: error });
    }
    expect(lab.log.length).toBeGreaterThanOrEqual(stepsOfSequence);
  });
});
