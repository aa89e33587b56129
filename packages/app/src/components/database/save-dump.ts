// Saves a PostgreSQL cluster by pg_dump under `/databases/<name>/dump/`: one archive per database, `globals.sql` with the
// roles, and `properties.json` with what a database is beside its contents. The write-ahead log position is read before
// the first dump begins, so that everything committed before it is in every dump.

import { AppError, mapConcurrently } from '@varve/base';
import type { DatabaseComponent, SavedDatabase } from '@varve/contract';
import {
  databaseFacts,
  dumpDatabase,
  dumpGlobals,
  formatLsn,
  listDatabases,
  type DatabaseProperties,
  type ListedDatabase,
} from '@varve/postgres';
import type { RunContext } from '../../use-case.ts';
import { AddedTotal, type Produced, type ProducerInput } from '../producer.ts';
import type { DatabaseAccess } from './database-access.ts';

const dumpsAtOnce = 2;

/** One line of `properties.json`, by database. */
export type SavedProperties = Readonly<Record<string, DatabaseProperties>>;

export interface SaveDumpInput extends ProducerInput {
  readonly component: DatabaseComponent;
  readonly access: DatabaseAccess;
  readonly log: RunContext['log'];
}

/** DATABASE_… when the server does not answer, refuses, or a program fails. */
export async function saveDump(input: SaveDumpInput): Promise<Produced<SavedDatabase>> {
  const { component, session, signal, onStep } = input;
  const { runner, target } = input.access;
  const path = `/databases/${component.name}`;
  const { container } = input.access;
  if (container !== null && container.state !== 'running') {
    throw new AppError('DATABASE_UNREACHABLE', `The container ${container.name} does not run (${container.state}).`, {
      hint: 'Start it, then try again. To restore without a safety snapshot, leave that out of the restore.',
      context: { container: container.name, state: container.state },
    });
  }
  const facts = await databaseFacts(runner, target, { signal });
  const listed = await listDatabases(runner, target, { signal });
  const total = new AddedTotal();
  const wanted = listed.filter((database) => isWanted(database, component, total));
  if (!facts.isSuperuser) {
    input.log(
      'warning',
      `The user ${target.user} of "${component.name}" is no superuser: the roles are saved without their passwords.`,
    );
  }
  onStep(`${component.name}: roles`);
  const globals = dumpGlobals(runner, target, { rolePasswords: facts.isSuperuser, signal });
  total.add(await session.addStream({ target: `${path}/dump/globals.sql`, source: globals, mode: 0o600 }));
  const databases = await mapConcurrently(wanted, dumpsAtOnce, async ({ name, properties }) => {
    onStep(`${component.name}: ${name}`);
    const file = `${path}/dump/${fileNameOf(name)}.dump`;
    const added = total.add(
      await session.addStream({
        target: file,
        source: dumpDatabase(runner, target, { database: name, signal }),
        mode: 0o600,
      }),
    );
    const { owner, encoding, collate, ctype } = properties;
    return { name, path: file, bytes: added.bytes, owner, encoding, collate, ctype };
  });
  const properties: SavedProperties = Object.fromEntries(
    wanted.map((database) => [database.name, database.properties]),
  );
  const data = Buffer.from(`${JSON.stringify(properties, null, 2)}\n`);
  total.add(await session.addBytes({ target: `${path}/dump/properties.json`, data, mode: 0o600 }));
  return {
    saved: {
      kind: 'database',
      name: component.name,
      method: 'dump',
      path: `${path}/dump`,
      serverVersion: facts.version,
      systemId: facts.systemId,
      walLsn: formatLsn(facts.currentLsn),
      walEndLsn: null,
      timeline: facts.timeline,
      databases,
      globalsPath: `${path}/dump/globals.sql`,
      bytes: total.bytes,
    },
    files: total.files,
    bytes: total.bytes,
    problems: total.problems,
  };
}

function isWanted(database: ListedDatabase, component: DatabaseComponent, total: AddedTotal): boolean {
  if (component.excludes.includes(database.name) || !database.hasUserObjects) return false;
  if (database.allowsConnections) return true;
  total.problems.push({
    path: `${component.name}: ${database.name}`,
    message: 'this database allows no connections and was not saved',
  });
  return false;
}

/** A database's name as a file name: everything but plain characters as %XX. */
export function fileNameOf(database: string): string {
  const bytes = [...Buffer.from(database, 'utf8')];
  const text = bytes.map((byte) => {
    const character = String.fromCharCode(byte);
    return /[A-Za-z0-9_-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  });
  return text.join('');
}
