// Validates CloudFormation templates with AWS's own rules, offline:
//
//     node validate.mjs cdk.out/*.template.json
//
// prints what is an error, and ends with 1 if there is one. Packages come from `npm ci` in this folder.
import process from 'node:process'

import { CelEngine, TemplateFile } from '@aws/cloudformation-validate'

const paths = process.argv.slice(2)
if (paths.length === 0) {
  console.error('usage: node validate.mjs TEMPLATE...')
  process.exit(2)
}

const engine = new CelEngine()
let errors = 0
try {
  for (const path of paths) {
    const report = engine.validateStandard(new TemplateFile(path), { severityLevel: 'ERROR' })
    if (report.status !== 'OK') {
      errors++
      console.log(`${path}: not validated: ${report.status}`)
    }
    for (const d of report.diagnostics) {
      errors++
      console.log(`${path}:${d.startLine ?? 0}: ${d.severity} ${d.ruleId} ${d.propertyPath ?? ''}: ${d.message}`)
    }
  }
} finally {
  engine.free()
}
console.log(`${paths.length} templates, ${errors} errors`)
process.exitCode = errors > 0 ? 1 : 0
