import js from "@eslint/js";
import reactHooks from "eslint-plugin-react-hooks";
import globals from "globals";
import tseslint from "typescript-eslint";

const testing = { group: ["**/testing/*"], message: "Only tests import what is for tests." };

/** What may not be imported, each with the reason. */
function forbid(...patterns) {
  return { "no-restricted-imports": ["error", { patterns: [testing, ...patterns] }] };
}
const app = { group: ["**/app/*"], message: "app composes all the others; nothing imports it." };
const features = {
  group: ["**/features/**"],
  message: "live, api and ui are shared by the features and know none of them.",
};
const otherFeature = {
  // From inside a feature's folder, another feature is reached by one step up.
  regex: "^\\.\\./(?!\\.\\./)|features/",
  message: "Features do not import each other: app puts them together.",
};
const framework = {
  group: ["react", "react-dom", "@mui/*", "@emotion/*", "@tanstack/*"],
  message: "live has no framework, so that others can use it; hooks are in api.",
};
const node = { group: ["node:*"], message: "live runs in browsers too." };
const upwards = (...folders) => ({
  group: folders.map((folder) => `**/${folder}/**`),
  message: "Imports point one way: live and ui, then api, then features, then app.",
});

export default tseslint.config(
  { ignores: ["dist", "dist-live*", "test-results", "playwright-report"] },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  reactHooks.configs.flat["recommended-latest"],
  {
    languageOptions: {
      globals: { ...globals.browser },
      parserOptions: {
        projectService: { allowDefaultProject: ["eslint.config.js"] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/consistent-type-imports": "error",
      // tsc forbids it where it matters: noPropertyAccessFromIndexSignature asks for the brackets.
      "@typescript-eslint/dot-notation": "off",
      "no-restricted-syntax": [
        "error",
        { selector: "ExportDefaultDeclaration", message: "Export by name." },
        { selector: "ExportAllDeclaration", message: "No barrel files: import from where it is." },
      ],
    },
  },
  { files: ["src/**"], rules: forbid() },
  { files: ["src/ui/**"], rules: forbid(app, features, upwards("api", "live")) },
  { files: ["src/api/**"], rules: forbid(app, features, upwards("ui")) },
  {
    files: ["src/live/**"],
    rules: forbid(app, features, framework, node, upwards("api", "auth", "ui")),
  },
  { files: ["src/features/**"], rules: forbid(app, otherFeature) },
  {
    files: ["src/**/*.test.{ts,tsx}", "src/testing/**"],
    rules: { "no-restricted-imports": "off", "@typescript-eslint/no-empty-function": "off" },
  },
  // These tools take what they run from the default export.
  {
    files: ["**/*.config.{js,ts}", "e2e/global-setup.ts"],
    rules: { "no-restricted-syntax": "off" },
  },
  {
    files: ["eslint.config.js"],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: { globals: globals.node },
  },
);
