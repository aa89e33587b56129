// Whatever fails at whichever call of whatever changes a repository: what was in it stays, check finds no error, and the next run
// completes. A seeded part of all calls; all of them with VARVE_FAULTS=all. VARVE_SEED repeats a run.

import { randomBytes } from 'node:crypto';
import { mapConcurrently } from '@varve/base';
import { checkRepository, openRepository, runPrune, unlockRepository, type Repository } from '@varve/repository';
import { FaultyStorage, type FaultKind, type MutatingCall } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  FaultLab,
  leaveBeside,
  migrate,
  openAny,
  operations,
  otherPassword,
  type Operation,
  type Site,
} from './fault-lab.ts';
import { password, quick } from './prune-lab.ts';
import { resticMissing } from './restic-oracle.ts';
import { seededRandom } from './seeded-random.ts';
import { find, type Found } from './snapshot-contents.ts';

const noRestic = resticMissing();
const isWhole = process.env['VARVE_FAULTS'] === 'all';
const seed = Number(process.env['VARVE_SEED'] ?? randomBytes(4).readUInt32LE());
/** Of the calls of one operation, with one kind of fault. */
const mostCalls = isWhole ? Infinity : 3;
const casesAtOnce = 3;
const kinds: readonly FaultKind[] = ['before', 'after', 'torn', 'kill'];

vi.setConfig({ testTimeout: isWhole ? 900_000 : 120_000 });

let lab: FaultLab;

beforeAll(async () => {
  lab = await FaultLab.create();
});

afterAll(() => lab[Symbol.asyncDispose]());

describe.for(noRestic === null ? [...operations, migrate] : operations)('$name', (operation) => {
  let start: Site;
  let before: readonly Found[];
  let calls: readonly MutatingCall[];
  let whole: Sizes;

  beforeAll(async () => {
    ({ site: start, before } = await lab.prepare(operation));
    const site = await lab.copy(start.folder);
    const counting = new FaultyStorage(site.folder.storage());
    await operation.run(site, await openRepository({ storage: counting, password }));
    ({ calls } = counting);
    await expectSound(site, operation, { withRestic: true });
    whole = await sizesWhenPruned(await open(site, operation));
    await site.folder[Symbol.asyncDispose]();
  });

  afterAll(() => start.folder[Symbol.asyncDispose]());

  test.for(kinds)(`loses nothing when a call fails, and the next run completes: %s [seed ${seed}]`, async (kind) => {
    const random = seededRandom(seed + kinds.indexOf(kind));
    const chosen = sample(calls.length, random);
    await mapConcurrently(chosen, casesAtOnce, async (failingCall) => {
      const { call, handle } = calls[failingCall - 1]!;
      const site = await lab.copy(start.folder);
      const withRestic = isWhole || random(8) === 0;
      try {
        await interruptAndRepeat(site, { operation, before, whole, failingCall, kind, withRestic });
      } catch (error) {
        throw new Error(`${kind}, call ${failingCall} of ${calls.length}: ${call} ${handle.type}`, { cause: error });
      } finally {
        await site.folder[Symbol.asyncDispose]();
      }
    });
  });
});

interface Case {
  readonly operation: Operation;
  readonly before: readonly Found[];
  /** What a run that nothing interrupts leaves. */
  readonly whole: Sizes;
  readonly failingCall: number;
  readonly kind: FaultKind;
  readonly withRestic: boolean;
}

async function interruptAndRepeat(site: Site, planned: Case): Promise<void> {
  const { operation, before, whole, failingCall, kind, withRestic } = planned;
  const { isSoundBefore = true, expectBetween = expectAllOf } = operation;
  const plan = { failingCall, kind, staysDown: false, leaveBehind: leaveBeside(site.folder.repo) };
  const storage = new FaultyStorage(site.folder.storage(), plan);
  const indexesBefore = (await Array.fromAsync(storage.list('index'))).length;
  const failure: unknown = await operation.run(site, await openRepository({ storage, password })).then(
    () => null,
    (error: unknown) => error,
  );
  // What can be done without, and what is found to have happened, is no failure; a death is.
  if (failure !== null || kind === 'kill') expect(failure).toMatchObject({ code: 'STORAGE_UNREACHABLE' });
  const { call, handle } = storage.calls[failingCall - 1]!;
  const isLockKept = handle.type === 'lock' && call === 'remove' && kind !== 'after';
  const mostLocks = kind === 'kill' ? 2 : isLockKept ? 1 : 0;
  const locks = await Array.fromAsync(site.folder.storage().list('lock'));
  expect(locks.length).toBeLessThanOrEqual(mostLocks);
  if (isSoundBefore) {
    const repository = await expectSound(site, operation, { withRestic });
    expectBetween(await find(repository), before, site);
  }

  await unlockRepository(await open(site, operation), { all: true });
  await operation.run(site, await open(site, operation));
  const repository = await expectSound(site, operation, { withRestic });
  operation.expectDone(await find(repository), before, site);
  for (const secret of operation.passwords ?? [])
    await openRepository({ storage: site.folder.storage(), password: secret });
  const sizes = await sizesWhenPruned(repository);
  expect(sizes.keys).toBeLessThanOrEqual(operation.mostKeys ?? whole.keys);
  expect(sizes.locks).toBe(0);
  // A second snapshot of the same source has a few small trees and no data.
  expect(sizes.packBytes).toBeLessThan(whole.packBytes + 10_000);
  // Those that an interrupted prune had yet to remove are merged when packs go the next time.
  expect(sizes.indexes).toBeLessThanOrEqual(indexesBefore + 1);
  await expectSound(site, operation, { withRestic });
}

const expectAllOf: NonNullable<Operation['expectBetween']> = (found, before) => expect(found).toEqual(before);

function open({ folder }: Site, { passwords = [] }: Operation): Promise<Repository> {
  return openAny(folder.storage(), [password, ...passwords]);
}

async function expectSound(
  site: Site,
  operation: Operation,
  { withRestic }: { readonly withRestic: boolean },
): Promise<Repository> {
  const repository = await open(site, operation);
  const { errors } = await checkRepository(repository, { readData: true, workers: 0 });
  expect(errors).toEqual([]);
  if (withRestic && noRestic === null) {
    // restic gives way to locks that a kill has left.
    const options = { password: await passwordThatOpens(site, operation) };
    expect(await site.folder.restic(['check', '--read-data', '--no-lock'], options)).toContain('no errors were found');
  }
  return openAny(site.folder.storage(), [password, ...(operation.passwords ?? [])]);
}

async function passwordThatOpens({ folder }: Site, { passwords = [] }: Operation): Promise<string> {
  const opens = await openRepository({ storage: folder.storage(), password }).then(
    () => true,
    () => passwords.length === 0,
  );
  return (opens ? password : otherPassword).reveal();
}

interface Sizes {
  readonly keys: number;
  readonly locks: number;
  readonly indexes: number;
  readonly packBytes: number;
}

async function sizesWhenPruned(repository: Repository): Promise<Sizes> {
  if (repository.version === 2) await runPrune(repository, { ...quick, maxUnused: { bytes: 0 }, workers: 0 });
  const sizesOf = async (type: 'key' | 'lock' | 'index' | 'pack'): Promise<readonly number[]> =>
    Array.fromAsync(repository.storage.list(type), ({ sizeBytes }) => sizeBytes);
  return {
    keys: (await sizesOf('key')).length,
    locks: (await sizesOf('lock')).length,
    indexes: (await sizesOf('index')).length,
    packBytes: (await sizesOf('pack')).reduce((sum, sizeBytes) => sum + sizeBytes, 0),
  };
}

/** Numbers from 1 to `count`: all of them where they are few, else different ones by chance. */
function sample(count: number, random: (below: number) => number): number[] {
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  while (numbers.length > mostCalls) numbers.splice(random(numbers.length), 1);
  return numbers;
}
