// Which room may import what, checked on the real import graph: a package imports the rooms that its package.json names,
// and only through their index.ts. `checkBoundaries` proves itself on a planted tree before its answer counts, because a
// cruiser that finds no modules reports no violations either.

import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cruise, type ICruiseResult, type IForbiddenRuleType } from 'dependency-cruiser';

interface RoomManifest {
  readonly dependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
}

interface BoundaryReport {
  readonly modules: number;
  readonly violations: readonly string[];
}

const browserRooms = new Set(['contract', 'web']);
const scope = '@varve/';

function roomNames(root: string): string[] {
  return readdirSync(join(root, 'packages'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

function allowedRooms(dependencies: Record<string, string> | undefined): string[] {
  return Object.keys(dependencies ?? {})
    .filter((name) => name.startsWith(scope))
    .map((name) => name.slice(scope.length));
}

function foreignRooms(room: string, allowed: readonly string[], rooms: readonly string[]): string | undefined {
  const foreign = rooms.filter((name) => name !== room && !allowed.includes(name));
  return foreign.length === 0 ? undefined : `^packages/(${foreign.join('|')})/`;
}

function rulesFor(root: string): IForbiddenRuleType[] {
  const rooms = roomNames(root);
  const rules: IForbiddenRuleType[] = [
    { name: 'no-cycle', severity: 'error', from: {}, to: { circular: true } },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true, pathNot: '^(bun|node):' } },
    {
      name: 'only-through-index',
      severity: 'error',
      from: { path: '^packages/([^/]+)/' },
      to: { path: '^packages/([^/]+)/', pathNot: ['^packages/$1/', '^packages/[^/]+/src/index\\.ts$'] },
    },
  ];
  for (const room of rooms) {
    const manifest = JSON.parse(readFileSync(join(root, 'packages', room, 'package.json'), 'utf8')) as RoomManifest;
    const runtime = allowedRooms(manifest.dependencies);
    const inTests = [...runtime, ...allowedRooms(manifest.devDependencies)];
    const forbiddenInSource = foreignRooms(room, runtime, rooms);
    const forbiddenInTests = foreignRooms(room, inTests, rooms);
    if (forbiddenInSource) {
      rules.push({
        name: `${room}-sources-import-what-they-declare`,
        severity: 'error',
        from: { path: `^packages/${room}/src/` },
        to: { path: forbiddenInSource },
      });
    }
    if (forbiddenInTests) {
      rules.push({
        name: `${room}-tests-import-what-they-declare`,
        severity: 'error',
        from: { path: `^packages/${room}/`, pathNot: `^packages/${room}/src/` },
        to: { path: forbiddenInTests },
      });
    }
    if (browserRooms.has(room)) {
      rules.push({
        name: `${room}-runs-in-a-browser`,
        severity: 'error',
        from: { path: `^packages/${room}/src/` },
        to: { dependencyTypes: ['core'] },
      });
    }
  }
  return rules;
}

async function cruiseRooms(root: string): Promise<BoundaryReport> {
  const previous = process.cwd();
  process.chdir(root);
  try {
    const result = await cruise(['packages'], {
      ruleSet: { forbidden: rulesFor(root) },
      validate: true,
      baseDir: root,
      doNotFollow: { path: 'node_modules' },
      exclude: { path: '(^|/)(dist|generated)/' },
      tsPreCompilationDeps: true,
      enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
    });
    const output = result.output as ICruiseResult;
    const violations = output.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`);
    return { modules: output.modules.filter(({ source }) => source.startsWith('packages/')).length, violations };
  } finally {
    process.chdir(previous);
  }
}

function plantRoom(root: string, room: string, source: string, dependencies: Record<string, string> = {}): void {
  const folder = join(root, 'packages', room);
  mkdirSync(join(folder, 'src'), { recursive: true });
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ name: `${scope}${room}`, type: 'module', exports: { '.': './src/index.ts' }, dependencies }),
  );
  writeFileSync(join(folder, 'src', 'index.ts'), source);
  mkdirSync(join(root, 'node_modules', '@varve'), { recursive: true });
  symlinkSync(folder, join(root, 'node_modules', '@varve', room));
}

/** Plants one violation of each kind in a throw-away tree and throws unless each is reported. */
async function proveTheCheckWorks(): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'varve-boundaries-'));
  try {
    plantRoom(root, 'base', "import { server } from '@varve/server';\nexport const base = server;\n");
    plantRoom(root, 'server', "import { secret } from '../../app/src/secret.ts';\nexport const server = secret;\n", {
      '@varve/app': '1',
    });
    plantRoom(root, 'app', 'export const app = 1;\n');
    writeFileSync(join(root, 'packages', 'app', 'src', 'secret.ts'), 'export const secret = 1;\n');
    plantRoom(root, 'contract', "import { sep } from 'node:path';\nexport const contract: string = sep;\n");
    const { violations } = await cruiseRooms(root);
    for (const rule of ['base-sources-import-what-they-declare', 'only-through-index', 'contract-runs-in-a-browser']) {
      if (!violations.some((violation) => violation.startsWith(`${rule}:`))) {
        throw new Error(
          `the boundary check does not see a planted violation of ${rule}; it saw: ${violations.join('; ')}`,
        );
      }
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Checks the rooms below `root`; throws when the check itself does not work. */
export async function checkBoundaries(root: string): Promise<BoundaryReport> {
  await proveTheCheckWorks();
  const report = await cruiseRooms(root);
  if (report.modules < 10) throw new Error(`the boundary check saw only ${report.modules} modules`);
  return report;
}
